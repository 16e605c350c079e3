"""Prose is plain English: docstrings open with the thing itself or a verb, and some words are in no page or comment."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for pattern in ("services/*/*/**/*.py", "libs/*/*/**/*.py", "tools/*/*/**/*.py", "bench/*.py", "tests/**/*.py")
    for path in sorted(ROOT.glob(pattern))
    if "vendor" not in path.parts
]
PRODUCT = [path for path in SOURCES if path.is_relative_to(ROOT / "bench") or "src" in path.parts]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
UNWANTED = re.compile(
    r"\b(?:for\s+ever|anew|in\s+good\s+order|in\s+the\s+evening|by\s+(?:itself|themselves)|strangers?|the\s+world"
    r"|bec[oa]mes?\s+of|whoever|he|she|tells?|news)\b",
    re.IGNORECASE,
)
"""Words that technical English has better ones for: write what the program does, and to which thing."""
CODE = re.compile(r"``.*?``|`[^`]*`|\]\([^)]*\)", re.DOTALL)
INVERTED = re.compile(r'"""\s*(?:What|Whatever|Who|Whoever|Whom|Whose)\b')


def test_no_docstring_opens_with_an_inverted_clause():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if path != Path(__file__) and INVERTED.search(line)
    ]
    assert found == []


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each part of a file that is written for people, without the code in it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        fenced = re.sub(r"^```.*?^```", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
        yield 1, _without_code(fenced)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, _without_code(node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], _without_code(token.string)


def _without_code(text: str) -> str:
    return CODE.sub(lambda found: "\n" * found[0].count("\n"), text)


def unwanted(first: int, text: str) -> Iterator[tuple[int, str]]:
    """Line and words of each unwanted expression, also one that goes over the end of a line."""
    for found in UNWANTED.finditer(text):
        yield first + text.count("\n", 0, found.start()), " ".join(found[0].split())


def test_no_page_docstring_or_comment_has_a_word_that_plain_english_does_without():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in (*PRODUCT, *PAGES)
        for first, text in prose(path)
        for number, word in unwanted(first, text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_inverted"),
    [
        ('    """What rules did, newest first."""', True),
        ('"""Who asks; empty without a token."""', True),
        ('"""Executions of rules, newest first."""', False),
        ('"""Whether a request is let in."""', False),
    ],
)
def test_an_inverted_opening_is_seen(line: str, is_inverted: bool):
    assert bool(INVERTED.search(line)) == is_inverted
