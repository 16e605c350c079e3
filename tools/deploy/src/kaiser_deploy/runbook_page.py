"""Writes docs/runbooks.md as a page of the gateway, so that the `runbook_url` of an alert leads to it at every site.

It supports only the Markdown that the runbooks use, and refuses anything else. Run it with `make runbook-page`; a test
checks that the page is up to date.
"""

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Runbooks – Kaiser</title>
<link rel="icon" href="/console/icon.svg">
<link rel="stylesheet" href="/console/style/theme.css">
<link rel="stylesheet" href="/console/style/runbooks.css">
</head>
<body>
"""
_END = "</body>\n</html>\n"
_UNKNOWN = re.compile(r"^(\s|[-*+] |\d+\. |\||>|```|!\[|###)")
_STEP = re.compile(r"^\*\*(Means|Look|Do|Look, do)\*\*")
_MARKS = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*]+)\*"), r"<em>\1</em>"),
    (re.compile(r"\[([^\]]+)\]\([^)]+\)"), r"\1"),
)
"""Links lead to pages that the gateway does not serve, so their words stay alone."""


class UnknownMarkdown(Exception):
    """A line that the page cannot show; the text is the line."""


def page(markdown: str) -> str:
    """The runbooks as HTML; each alert's name is the id of its heading."""
    return _HEAD + "".join(f"{block}\n" for block in _blocks(markdown)) + _END


def _blocks(markdown: str) -> Iterator[str]:
    """A heading or paragraph each; each step of a runbook is a paragraph of its own."""
    paragraph: list[str] = []
    for line in [*markdown.splitlines(), ""]:
        if _UNKNOWN.match(line):
            raise UnknownMarkdown(line)
        level = len(line) - len(line.lstrip("#"))
        if paragraph and (not line or level or _STEP.match(line)):
            yield f"<p>{_inline(' '.join(paragraph))}</p>"
            paragraph = []
        if level:
            text = line.lstrip("# ")
            yield f'<h{level} id="{html.escape(text)}">{_inline(text)}</h{level}>'
        elif line:
            paragraph.append(line)


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    for mark, becomes in _MARKS:
        escaped = mark.sub(becomes, escaped)
    return escaped


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(page(Path(sys.argv[1]).read_text()))
