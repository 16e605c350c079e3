"""The header If-Match of a change: the version of what is to be changed, as it was read."""

from typing import Annotated

from fastapi import Depends, Header

_ANY = "*"


def _expected(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            pattern=r'^("[1-9]\d{0,8}"|[1-9]\d{0,8}|\*)$',
            description="`version` as it was read; 412 (5414) if it is another one by now",
            examples=['"3"'],
        ),
    ] = None,
) -> int | None:
    return None if if_match in (None, _ANY) else int(str(if_match).strip('"'))


Expected = Annotated[int | None, Depends(_expected)]
"""The version that a change is meant for; None: any."""
