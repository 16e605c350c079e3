"""Calls functions of the console's JavaScript modules in Node, without a page."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from kaiser_gateway.http import console_files

_SCRIPT = """
import { readFileSync } from "node:fs";
const [path, calls, language] = JSON.parse(readFileSync(0, "utf8"));
await (await import("./core/texts.js")).openTexts({ getItem: () => language }, [], {});
const module = await import(path);
console.log(JSON.stringify(calls.map(([name, ...values]) => module[name](...values))));
"""


def node() -> str | None:
    """Where Node is, if it is installed."""
    return shutil.which("node") or shutil.which("nodejs")


def printed(script: str, **given: Any) -> Any:
    """The JSON that a script prints. The script has `given`, and may import from "./core/…"."""
    command = [str(node()), "--input-type=module", "-e", f"const given = {json.dumps(given)};\n{script}"]
    done = subprocess.run(command, cwd=console_files.FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def called(module: str, calls: list[list[Any]], folder: Path, language: str = "en") -> list[Any]:
    """The answer to each call, which is a function's name and its arguments. module: of core/, such as series.js.

    folder: an empty folder; its package.json declares the files as modules for Node.
    """
    shutil.copytree(Path(console_files.FOLDER) / "core", folder / "core", dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "call.js").write_text(_SCRIPT)
    done = subprocess.run(
        [str(node()), "call.js"],
        cwd=folder,
        input=json.dumps([f"./core/{module}", calls, language]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))
