"""Writes deploy/nats/users.conf from the grants."""

from collections.abc import Collection, Iterable

from kaiser_deploy.grants import Grants

_HEAD = """\
# The users of the bus and all that each may do; anything else is refused and logged.
# Written by `make grants` from tools/deploy/src/kaiser_deploy/grants.py, which derives it from the declared streams,
# consumers and buckets. A password is a variable: `make secrets` writes them into passwords.conf.
include "../secrets/passwords.conf"

"""


def variable(user: str) -> str:
    """Name of the variable that holds a user's password."""
    return f"{user.replace('-', '_')}_password"


def render(users: Iterable[Grants]) -> str:
    """The file's text."""
    return f"{_HEAD}authorization {{\n  users: [\n{''.join(map(_user, users))}  ]\n}}\n"


def _user(grants: Grants) -> str:
    return (
        f'    {{\n      user: "{grants.user}", password: ${variable(grants.user)}\n'
        f"      permissions: {{\n{_allow('publish', grants.publish)}{_allow('subscribe', grants.subscribe)}"
        "      }\n    }\n"
    )


def _allow(verb: str, subjects: Collection[str]) -> str:
    if not subjects:  # an empty list of what is allowed would allow everything
        return f'        {verb}: {{ deny: [">"] }}\n'
    lines = "".join(f'          "{subject}"\n' for subject in sorted(set(subjects)))
    return f"        {verb}: {{ allow: [\n{lines}        ] }}\n"
