"""docs/decisions/README.md lists every decision by date; each page has its number and one sentence as its title."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs/decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
ROWS = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| \[(\d{4})\]\((.+?)\) (.+) \|$", (FOLDER / "README.md").read_text(), re.M)


def test_every_decision_is_listed_once_and_by_date():
    assert sorted(file for _, _, file, _ in ROWS) == [page.name for page in PAGES]
    assert [date for date, *_ in ROWS] == sorted(date for date, *_ in ROWS)


@pytest.mark.parametrize(("date", "number", "file", "title"), ROWS, ids=[row[1] for row in ROWS])
def test_a_row_has_the_title_of_its_page(date: str, number: str, file: str, title: str):
    assert file.startswith(f"{number}-")
    assert (FOLDER / file).read_text().splitlines()[0] == f"# {number}. {title}"
