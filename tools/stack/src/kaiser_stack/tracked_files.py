"""A lint: no tracked file names a package registry's host."""

import re
import subprocess
import sys

_HOSTS = re.compile(r"https?://[a-z0-9.-]*(?:py[p]i|pythonhoste[d]|npmj[s]|deb[.]debia[n])[a-z.]*", re.IGNORECASE)


def main() -> None:
    """List each place and exit 1 if there is any."""
    names = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout.split("\0")
    found = []
    for name in filter(None, names):
        if "/vendor/" in name:
            continue
        try:
            with open(name, encoding="utf-8") as file:
                found += [f"{name}:{number}" for number, line in enumerate(file, 1) if _HOSTS.search(line)]
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    for place in found:
        print(f"{place}: the address of a package registry", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
