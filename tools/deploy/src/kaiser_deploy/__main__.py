"""The command line: `python -m kaiser_deploy secrets|certs|device|up`; it needs only the standard library and
libs/common."""

import argparse
import subprocess
import sys
from pathlib import Path

from kaiser_common.runtime.known_settings import UnknownSetting

from kaiser_deploy import certificates, devices, secret_files, up

_HOSTS = ("localhost", "mosquitto", "nats", "127.0.0.1")
_PEERS = tuple(f"nats-{number}.nats-peers" for number in range(3))
"""The servers of deploy/kubernetes/base/nats by the names under which they find each other."""


def main() -> None:
    """Entry point. Exit status: 0 done, 1 it failed, 2 a port or setting is to be set first."""
    arguments = _parser().parse_args()
    folder: Path = arguments.folder
    try:
        made = secret_files.make(folder)
        match arguments.command:
            case "secrets":
                print(f"{len(made)} secrets made in {folder}" if made else f"all secrets are in {folder}")
            case "certs":
                end = certificates.make(folder, [*filter(None, arguments.host), *_HOSTS], bus=arguments.bus)
                if arguments.cluster:
                    certificates.make_cluster(folder, _PEERS)
                print(f"devices connect to port 8883 and trust {folder}/authority/ca.crt")
                print(f"the certificate ends on {end}: run this again before")
            case "device":
                for esp_id in arguments.esp_id:
                    print(_device(folder, esp_id, remove=arguments.remove))
            case "up":
                sys.exit(up.up(arguments.arguments))
    except (up.PortTaken, up.WrongValue, UnknownSetting) as error:
        for line in str(error).splitlines():
            print(f"kaiser: {line}", file=sys.stderr)
        sys.exit(2)
    except subprocess.CalledProcessError as error:
        sys.exit(f"kaiser: openssl failed: {error.stderr.decode(errors='replace').strip()}")
    except (OSError, devices.NoDevice) as error:
        sys.exit(f"kaiser: {error}")


def _device(folder: Path, esp_id: str, *, remove: bool) -> str:
    if remove:
        devices.shut_out(folder, esp_id)
        return f"{esp_id} is shut out"
    return f"user {esp_id} password {devices.admit(folder, esp_id)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kaiser_deploy", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".kaiser-secrets"), help="default: .kaiser-secrets")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("secrets", help="make the secrets that are missing")
    certs = commands.add_parser("certs", help="make a new server certificate, and turn TLS on for devices")
    certs.add_argument("--host", action="append", default=[], help="name or address of the broker, for devices")
    certs.add_argument("--bus", action="store_true", help="turn TLS on for NATS too")
    certs.add_argument(
        "--cluster", action="store_true", help="also make the certificate between NATS servers (Kubernetes)"
    )
    device = commands.add_parser("device", help="give devices a password at the MQTT broker, and show it")
    device.add_argument("esp_id", nargs="+")
    device.add_argument("--remove", action="store_true", help="take their passwords away")
    start = commands.add_parser("up", help="check the ports, then start the containers; what fails leaves none")
    start.add_argument("arguments", nargs="*", help="of docker compose up, after --")
    return parser


main()
