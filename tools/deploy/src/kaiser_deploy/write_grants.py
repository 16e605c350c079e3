"""`make grants`: write deploy/nats/users.conf from the grants."""

import sys
from pathlib import Path

from kaiser_deploy.grants import grants
from kaiser_deploy.nats_users import render

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(grants()))
