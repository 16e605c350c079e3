"""Makes a certificate authority of one's own and a server's certificate with openssl, and turns TLS on with them."""

import subprocess
from collections.abc import Sequence
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


def make(folder: Path, hosts: Sequence[str], *, bus: bool) -> None:
    """A new server certificate for these names and addresses, signed by the authority that is made at the first call.

    Devices trust `authority/ca.crt`. With `bus`, NATS speaks TLS too.
    """
    tls = folder / "tls"
    if not (folder / "ca.key").exists():
        _openssl(
            tls, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", _CA_DAYS,
            "-subj", "/CN=Kaiser authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", "../ca.key", "-out", "../authority/ca.crt",
        )  # fmt: skip
        (folder / "ca.key").chmod(0o600)
    _openssl(
        tls, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={hosts[0]}", "-keyout", "server.key", "-out", "server.csr",
    )  # fmt: skip
    write(tls / "server.ext", f"subjectAltName={','.join(map(_alternative, hosts))}\nextendedKeyUsage=serverAuth\n")
    _openssl(
        tls, "x509", "-req", "-in", "server.csr", "-CA", "../authority/ca.crt",
        "-CAkey", "../ca.key", "-CAcreateserial",
        "-days", _SERVER_DAYS, "-extfile", "server.ext", "-out", "server.crt",
    )  # fmt: skip
    (tls / "server.key").chmod(0o644)  # its folder is closed; the containers' accounts must read it
    write(folder / "mosquitto" / "conf.d" / "tls.conf", _MOSQUITTO)
    if bus:
        write(folder / "nats" / "tls.conf", _NATS)


def _alternative(host: str) -> str:
    return f"IP:{host}" if host.replace(".", "").isdigit() or ":" in host else f"DNS:{host}"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
