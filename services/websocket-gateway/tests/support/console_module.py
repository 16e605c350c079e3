"""Functions of a console module that imports nothing, called in Node."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from kaiser_gateway import console_files

_SCRIPT = """
const [source, calls] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
import("data:text/javascript," + encodeURIComponent(source)).then((module) =>
  console.log(JSON.stringify(calls.map(([name, ...values]) => module[name](...values)))));
"""


def node() -> str | None:
    """Where Node is, if it is installed."""
    return shutil.which("node") or shutil.which("nodejs")


def called(module: str, calls: list[list[Any]]) -> list[Any]:
    """The answer to each call, which is a function's name and its arguments; `module` such as core/series.js."""
    source = (Path(console_files.FOLDER) / module).read_text()
    done = subprocess.run(
        [str(node()), "-e", _SCRIPT],
        input=json.dumps([source, calls]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return list(json.loads(done.stdout))
