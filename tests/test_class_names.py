"""One noun has one meaning: a public class name exists once in the sources."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLASS = re.compile(r"^ *class ([A-Za-z]\w*)[(\[:]", re.MULTILINE)


def test_a_public_class_name_exists_once():
    names = Counter(
        name for path in ROOT.glob("*/*/src/**/*.py") for name in CLASS.findall(path.read_text(encoding="utf-8"))
    )
    assert {name for name, count in names.items() if count > 1} == set()
