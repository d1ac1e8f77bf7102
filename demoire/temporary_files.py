"""Where temporary files lie, who removes them, and what is said where there is no room for them.

A process that is killed removes nothing. So each temporary folder is locked by the process that
works in it, and the kernel takes the lock away when that process is gone. Every process removes the
folders without a lock before it makes its first one.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import psutil

from demoire.errors import MachineError

_IN_MEMORY = ("tmpfs", "ramfs")
_ON_DISK = "/var/tmp"  # by the Filesystem Hierarchy Standard for temporary files that may be large
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_PREFIX = "demoire-locked-"  # not that of earlier versions, which locked nothing


def temporary_folder() -> str:
    """Where temporary files lie: in TMPDIR, or where Python puts them.

    Where that is in memory, as /tmp is on some systems, they lie in /var/tmp if that is on disk.
    """
    usual = tempfile.gettempdir()
    is_chosen = "TMPDIR" in os.environ
    if is_chosen or not is_in_memory(usual) or is_in_memory(_ON_DISK):
        return usual
    return _ON_DISK if os.access(_ON_DISK, os.W_OK | os.X_OK) else usual


@cache
def is_in_memory(folder: str) -> bool:
    """Whether what is written into a folder takes memory instead of a disk."""
    path = Path(folder).resolve()
    mounts = psutil.disk_partitions(all=True)
    above = [mount for mount in mounts if path.is_relative_to(mount.mountpoint)]
    if not above:
        return False
    return max(above, key=lambda mount: len(mount.mountpoint)).fstype in _IN_MEMORY


def new_temporary_file() -> BinaryIO:
    """An empty temporary file without a name, for writing and reading.

    Raises:
        OSError: There can be none.
    """
    return cast(BinaryIO, tempfile.TemporaryFile(prefix="demoire-", dir=temporary_folder()))


@contextmanager
def new_temporary_folder() -> Iterator[Path]:
    """An empty temporary folder for the block; after a kill, the next process removes it.

    Raises:
        OSError: There can be none.
    """
    parent = temporary_folder()
    remove_abandoned(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: str) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # Until it has its lock, another process may take the folder for abandoned.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks: nobody removes anything there
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


@cache
def remove_abandoned(parent: str) -> None:
    """Remove the temporary folders of processes that are gone; looks once a process."""
    for folder in Path(parent).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused where the process lives
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def is_of_a_full_disk(error: OSError) -> bool:
    """Whether the system has refused something for want of room."""
    return error.errno in _NO_ROOM


@contextmanager
def room_for_files() -> Iterator[None]:
    """For the block, a full disk is the machine's fault, and not that of the image in work.

    Raises:
        MachineError: There is no room for a temporary file.
    """
    try:
        yield
    except OSError as error:
        if not is_of_a_full_disk(error):
            raise
        raise MachineError(told_of_no_room()) from error


def told_of_no_room() -> str:
    """What the user is told where there is no room for temporary files."""
    return (
        f"There is no room left for temporary files in {temporary_folder()}: free some space or "
        "set TMPDIR to a larger disk, then run the same command again."
    )
