"""The type of a time in a request: ms since 1970, before 2100."""

from typing import Annotated

from pydantic import Field

BEFORE_2100_MS = 4_102_444_800_000
Milliseconds = Annotated[int, Field(ge=0, le=BEFORE_2100_MS)]
"""A time in ms since 1970, before 2100."""
