"""The last large file that was fetched or unpacked to be read by its path, kept for the next unit.

A PDF is read as a whole, but its pictures come in units of some 32, each read by itself. Without a
copy that stays, one of 10,000 pages in a bucket or an archive is fetched and listed 300 times.

The copy has no name in any folder, so it is gone when the process ends, however that ends. It stays
until the process reads another one. Where a system does not show open files as paths (/proc), and
for small files, there is a temporary file each time.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from pipelines.storage.local import local_temporary

_SMALLEST = 32 << 20  # bytes; smaller files are fetched again in no time
_OPEN_FILES = Path("/proc")

# What tells one file from another: where it lies, and of which version it is.
CopyKey = tuple[str, ...]


class KeptCopy:
    """One copy at most, and who it is of."""

    def __init__(self) -> None:
        """There is none yet."""
        self._in_use = Lock()
        self._key: CopyKey | None = None
        self._file: BinaryIO | None = None

    @contextmanager
    def opened(
        self, key: CopyKey | None, size: int, fetch: Callable[[BinaryIO], None]
    ) -> Iterator[BinaryIO]:
        """Open a copy of a file; its name is a path that any process of this user can read.

        Args:
            key: Of the file; None where it is not known for sure which one it is.
            size: Bytes.
            fetch: Writes the file.
        """
        can_stay = key is not None and size >= _SMALLEST and _OPEN_FILES.is_dir()
        if not can_stay or not self._in_use.acquire(blocking=False):
            with local_temporary() as path, path.open("w+b") as copy:
                _fill(copy, fetch)
                yield copy
            return
        try:
            if self._key != key:
                self._replace(key, fetch)
            assert self._file is not None
            number = self._file.fileno()
            with (_OPEN_FILES / str(os.getpid()) / "fd" / str(number)).open("rb") as copy:
                yield copy
        finally:
            self._in_use.release()

    def let_go(self) -> None:
        """Keep nothing any longer."""
        with self._in_use:
            self._drop()

    def _replace(self, key: CopyKey | None, fetch: Callable[[BinaryIO], None]) -> None:
        self._drop()  # there may not be room for two
        with local_temporary() as path:
            copy = path.open("w+b")
            try:
                _fill(copy, fetch)
            except BaseException:
                copy.close()
                raise
        self._key = key
        self._file = copy

    def _drop(self) -> None:
        self._key = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _fill(copy: BinaryIO, fetch: Callable[[BinaryIO], None]) -> None:
    fetch(copy)
    copy.flush()
    copy.seek(0)


kept_copy = KeptCopy()
