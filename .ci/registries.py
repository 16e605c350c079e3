"""A check of `make lint`: no file under version control, or of those named, has the address of a package registry."""

import re
import subprocess
import sys

_ADDRESS = re.compile(
    rb"https?://[^\s\"'<>]*(?:/simple/|pypi|npmjs|/npm/|artifactory|nexus|pythonhosted|/debian/)", re.IGNORECASE
)
_INDEX_OPTION = re.compile(rb"^\s*(?:--(?:extra-)?index-url|--find-links|-i)[ =]", re.MULTILINE)


def main() -> None:
    """Entry point; exit status 1 if a file names one."""
    found = [f"{name}: {where}" for name in sys.argv[1:] or _tracked() for where in _addresses(name)]
    for line in found:
        print(f"names a package registry: {line}", file=sys.stderr)
    sys.exit(1 if found else 0)


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name and "/vendor/" not in name]


def _addresses(path: str) -> list[str]:
    """What a file says that looks like a registry's address."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (FileNotFoundError, IsADirectoryError):
        return []
    found = _ADDRESS.findall(content)
    if path.endswith((".lock", ".in", ".txt")):
        found += _INDEX_OPTION.findall(content)
    return [match.decode(errors="replace").strip() for match in found]


if __name__ == "__main__":
    main()
