"""The pages of the console and the lists whose address narrows them, as its sources name them."""

import re
from pathlib import Path

from kaiser_gateway.http import console_files

_FOLDER = Path(console_files.FOLDER)


def pages() -> set[str]:
    """The name of each page, as it begins an address."""
    source = (_FOLDER / "shell" / "navigation.js").read_text()
    return set(re.findall(r"^  \{ name: \"([\w-]+)\", title: ", source, re.MULTILINE))


def filtered() -> set[str]:
    """The pages that keep filters in their address."""
    sources = [path.read_text() for path in sorted((_FOLDER / "pages").glob("*.js"))]
    return {name for source in sources for name in re.findall(r"\buseFilters\(\"([\w-]+)\"", source)}
