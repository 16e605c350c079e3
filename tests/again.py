"""Runs what failed in the last run once more, one test after the other: `make test-again`, as CI does.

The first argument is the folder of pytest's cache in which that run noted what failed; the others go to pytest.

A test that fails beside others on a busy machine and passes here is named at the end: it has a fault of its own, which
waits to be mended, but it does not say that the product is broken. More than ten are no accident; then nothing is run.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST = 10


def main() -> int:
    """0: each test passed now. Else 1."""
    cache, *arguments = sys.argv[1:]
    failed = last_failed(ROOT / cache)
    if not failed or len(failed) > MOST:
        print(f"{len(failed)} tests failed in the last run; from 1 to {MOST} are run again", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", "-n", "0", *arguments, *failed]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode != 0:
        return 1
    print("failed beside others and passed alone:", *failed, sep="\n  ")
    return 0


def last_failed(cache: Path) -> list[str]:
    """The node ids of the tests, or files, that failed; pytest keeps them until they pass."""
    file = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(file.read_text())) if file.exists() else []


if __name__ == "__main__":
    sys.exit(main())
