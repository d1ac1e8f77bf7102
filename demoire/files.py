"""Writing files of this machine: in one step, and with a sentence for the user where it fails.

Readers see the old file or the new one, never half.

The new content goes to a temporary file in the same folder, is flushed to disk, and takes the name
at the end. What dies in between leaves the old file, and a temporary one beside it whose name
begins with `.demoire-`. The flush costs some milliseconds, on a busy disk some tens.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demoire.errors import UsageError


@contextmanager
def writing_to(out: Path, way_out: str) -> Iterator[None]:
    """For the block, what the operating system refuses is that the user's `out` cannot be written.

    Args:
        out: The file or folder, as the user named it.
        way_out: What to do about it, as "choose another folder".

    Raises:
        UsageError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{out} cannot be written ({reason}); {way_out}.") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; when the block ends well it becomes `path`.

    The temporary name is short and of no other writer, so several processes may write one file at
    a time: the last one to finish wins.

    Args:
        path: The file to be. Its folder has to exist.

    Yields:
        A path in the same folder, which the block has to create.

    Raises:
        OSError: The file cannot be written or moved.
    """
    unfinished = path.with_name(f".demoire-{secrets.token_hex(8)}.part")
    try:
        yield unfinished
        # Without it the new name may reach the disk before the bytes do.
        _flush(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` as the whole content of `path`, in one step.

    Raises:
        OSError: The file cannot be written.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data)


def _flush(path: Path) -> None:
    """Wait until the file's bytes are on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
