"""Creates private authorities and certificates with openssl, for servers and a NATS cluster, and turns TLS on."""

import ssl
import subprocess
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from kaiser_deploy.secret_files import write

_CA_DAYS, _SERVER_DAYS = "3650", "825"

_MOSQUITTO = """\
# TLS for devices, by `make certs`.
listener 8883
use_username_as_clientid true
certfile /mosquitto/tls/server.crt
keyfile /mosquitto/tls/server.key
tls_version tlsv1.2
"""
_NATS = """\
# TLS on the bus, by `make certs`.
tls {
  cert_file: "/etc/nats/tls/server.crt"
  key_file: "/etc/nats/tls/server.key"
  timeout: 5
}
"""


def make(folder: Path, hosts: Sequence[str], *, bus: bool) -> date:
    """A new server certificate for these names and addresses, signed by the authority that is made at the first call;
    the day (UTC) on which the first of the two ends.

    Devices trust `authority/ca.crt`. With `bus`, NATS speaks TLS too.
    """
    tls = folder / "tls"
    _authority(folder / "ca.key", folder / "authority" / "ca.crt", "Kaiser authority")
    _certificate(tls, "server", hosts, "serverAuth", folder / "ca.key", folder / "authority" / "ca.crt")
    write(folder / "mosquitto" / "conf.d" / "tls.conf", _MOSQUITTO)
    if bus:
        write(folder / "nats" / "tls.conf", _NATS)
    return min(ends_on(tls / "server.crt"), ends_on(folder / "authority" / "ca.crt"))


def ends_on(certificate: Path) -> date:
    """The last day (UTC) of a certificate."""
    said = _openssl(certificate.parent, "x509", "-in", certificate.name, "-noout", "-enddate")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter=")), UTC).date()


def make_cluster(folder: Path, hosts: Sequence[str]) -> None:
    """A new certificate with which the servers of a NATS cluster know each other, in `cluster`.

    Its authority signs nothing else: with the one that devices trust, a broker's certificate would open the cluster.
    """
    cluster = folder / "cluster"
    cluster.mkdir(exist_ok=True)
    key, authority = folder / "cluster-ca.key", cluster / "ca.crt"
    _authority(key, authority, "Kaiser NATS cluster")
    _certificate(cluster, "tls", hosts, "serverAuth,clientAuth", key, authority)


def _authority(key: Path, certificate: Path, name: str) -> None:
    if not key.exists():
        _openssl(
            key.parent, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", _CA_DAYS, "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", str(key.absolute()), "-out", str(certificate.absolute()),
        )  # fmt: skip
        key.chmod(0o600)


def _certificate(folder: Path, name: str, hosts: Sequence[str], uses: str, key: Path, authority: Path) -> None:
    """`name.key` and `name.crt` in a folder; the containers' accounts must read the key, so its folder is closed."""
    _openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={hosts[0]}", "-keyout", f"{name}.key", "-out", f"{name}.csr",
    )  # fmt: skip
    write(folder / f"{name}.ext", f"subjectAltName={','.join(map(_alternative, hosts))}\nextendedKeyUsage={uses}\n")
    _openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", str(authority.absolute()),
        "-CAkey", str(key.absolute()), "-CAcreateserial",
        "-days", _SERVER_DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.crt",
    )  # fmt: skip
    (folder / f"{name}.key").chmod(0o644)


def _alternative(host: str) -> str:
    return f"IP:{host}" if host.replace(".", "").isdigit() or ":" in host else f"DNS:{host}"


def _openssl(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
    return done.stdout.decode()
