"""Gives a device a password of its own at the broker that the stack starts, or takes it away."""

from kaiser_stack import control, logins, servers
from kaiser_stack.errors import SetupError
from kaiser_stack.mosquitto import Mosquitto
from kaiser_stack.nats import Nats
from kaiser_stack.settings import StackSettings


def admit(settings: StackSettings, esp_id: str) -> str:
    """The password of a device, made where it has none; a broker that runs reads its files again.

    SetupError: the broker is one of your own, or it is no id of a device.
    """
    _of_our_broker(settings)
    password = logins.admit(settings.state_dir, esp_id).password
    _read_again(settings)
    return password


def shut_out(settings: StackSettings, esp_id: str) -> None:
    """Take a device's password away. SetupError as `admit`."""
    _of_our_broker(settings)
    logins.shut_out(settings.state_dir, esp_id)
    _read_again(settings)


def _of_our_broker(settings: StackSettings) -> None:
    if settings.mqtt_host:
        raise SetupError("KAISER_MQTT_HOST names a broker of your own: give devices their passwords there")


def _read_again(settings: StackSettings) -> None:
    for server in servers.choose(settings).to_start:
        if isinstance(server, (Mosquitto, Nats)):
            server.prepare()
            control.read_again(settings.run_dir, server.name)
