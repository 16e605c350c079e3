"""`make grants`: write the rights on the bus and at the MQTT broker into the folder deploy/."""

import sys
from pathlib import Path

from kaiser_deploy import broker_access
from kaiser_deploy.grants import grants
from kaiser_deploy.nats_users import render

if __name__ == "__main__":
    deploy = Path(sys.argv[1])
    (deploy / "nats/users.conf").write_text(render(grants()))
    (deploy / "mosquitto/access.conf").write_text(broker_access.render())
