"""Checks a resource against Kubernetes's schemas.

The library is imported only when a test first needs it: importing it loads grammars, which would cost every worker of a
run two seconds.
"""

from collections.abc import Callable
from functools import cache
from typing import Any


def must_fit(resource: dict[str, Any], version: str) -> None:
    """ValidationError where a resource does not fit the schema of this version of Kubernetes."""
    _validate()(resource, version, strict=True)


@cache
def _validate() -> Callable[..., None]:
    """The library's function; by itself it reads the file of a version again for each resource."""
    import kubernetes_validate  # type: ignore[import-untyped]

    kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
    validate: Callable[..., None] = kubernetes_validate.validate
    return validate
