"""Files being uploaded: each grows by parts in a folder, and is deleted once imported, or after a minute without a
part.

Killed: what is in the folder is removed at the next start, and the sender gets an error and begins again.
"""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

MOST = 4
"""Files that may come at once."""
_IDLE_S = 60.0


@dataclass(slots=True)
class Upload:
    """A file on its way in, of which `size` bytes are there."""

    path: Path
    filename: str
    name: str
    note: str
    offset_us: int
    size: int = 0
    touched_at: float = 0.0


class Uploads:
    """The folder of files on their way in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Upload] = {}

    def clear(self) -> None:
        """Make the folder, without what a process before this one left in it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob("*.part"):
            left.unlink(missing_ok=True)

    @property
    def coming(self) -> int:
        """The bytes of all files that are there."""
        return sum(each.size for each in self._open.values())

    def begin(self, filename: str, name: str, note: str, offset_us: int) -> str | None:
        """A new file. None: there are as many as may be."""
        self.drop_idle()
        if len(self._open) >= MOST:
            return None
        key = secrets.token_hex(8)
        path = self._folder / f"{key}.part"
        path.touch()
        self._open[key] = Upload(path, filename, name, note, offset_us, touched_at=time.monotonic())
        return key

    def get(self, key: str) -> Upload | None:
        """A file on its way in."""
        return self._open.get(key)

    def add(self, upload: Upload, data: bytes) -> None:
        """Append a part."""
        with upload.path.open("ab") as file:
            file.write(data)
        upload.size += len(data)
        upload.touched_at = time.monotonic()

    def take(self, key: str) -> Upload | None:
        """The whole file; it is the caller's from now on, who removes it."""
        return self._open.pop(key, None)

    def drop(self, key: str) -> None:
        """Forget a file."""
        upload = self._open.pop(key, None)
        if upload is not None:
            upload.path.unlink(missing_ok=True)

    def drop_idle(self) -> None:
        """Forget the files of which nothing has come for a minute."""
        before = time.monotonic() - _IDLE_S
        for key in [key for key, each in self._open.items() if each.touched_at < before]:
            self.drop(key)
