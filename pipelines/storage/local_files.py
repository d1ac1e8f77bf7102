"""Files of this machine, listed, opened and made in single steps: the parts of a local place.

See `pipelines.storage.local` for why each write has these steps.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from demoire.errors import RefusedNameError, UnusablePlaceError
from pipelines.names import shown
from pipelines.paths import path_below
from pipelines.storage.local_errors import NO_SUCH_NAME, explaining, is_away
from pipelines.storage.place import Entry, EntryKind, Place

# A user's own file may well begin with '.demoire-' and end in '.tmp', but not have 32 such digits.
_TEMPORARY = re.compile(r"\.demoire-[0-9a-f]{32}\.tmp")

# How a file system says that it has no symbolic links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)

_ATTEMPTS = 10  # to make something in a folder that others remove


def path_in(place: Place, path: str) -> Path:
    """Where a path of a local place is.

    Raises:
        UnusablePlaceError: It would lie outside.
    """
    leaves = path.startswith("/") or ".." in path.split("/")
    if leaves or "\0" in path:
        raise UnusablePlaceError(
            f"'{shown(path)}' would lie outside {shown(place.uri)}: it is not touched, rename it."
        )
    return Path(place.uri, path)


def scan_folder(
    place: Place, path: str, *, recursive: bool, telling_closed: bool = False
) -> Iterator[Entry]:
    """What lies in a folder by name, temporary files and markers as well; links are not entered.

    Args:
        place: The folder's place.
        path: The folder, relative to it.
        recursive: Whether folders in it are entered.
        telling_closed: Whether what this program may not read is listed as `closed`. Otherwise it
            is like any other, and shows where it is opened or entered.
    """
    with explaining(place.full(path), "list"):
        items = _scanned(path_in(place, path))
    if items is None:
        return
    if not items:
        yield Entry(path_below(path, ""), 0, "", 0.0, "marker")
    for item in items:
        inner = path_below(path, item.name)
        is_folder = item.is_dir(follow_symlinks=False)
        if telling_closed and _is_closed(item, is_folder=is_folder):
            with explaining(place.full(inner), "read"), suppress(FileNotFoundError):
                yield entry_of(inner, item.stat(follow_symlinks=False), "closed")
        elif not is_folder:
            # A file may be gone since the folder was listed.
            with explaining(place.full(inner), "read"), suppress(FileNotFoundError):
                yield _listed_entry(inner, item)
        elif recursive:
            yield from scan_folder(place, inner, recursive=True, telling_closed=telling_closed)
        else:
            yield Entry(inner, 0, "", 0.0, "folder")


def files_named(place: Place, path: str, prefix: str) -> Iterator[Entry]:
    """The files directly in a folder whose names begin so; the others are not looked at."""
    with explaining(place.full(path), "list"):
        items = _scanned(path_in(place, path), prefix)
    for item in items or []:
        if item.is_file(follow_symlinks=False) and not is_temporary(item.name):
            inner = path_below(path, item.name)
            with explaining(place.full(inner), "read"), suppress(FileNotFoundError):
                yield _listed_entry(inner, item)


def _is_closed(item: "os.DirEntry[str]", *, is_folder: bool) -> bool:
    """Whether this program may not read a plain file, or not list a folder."""
    if is_folder:
        return not _may(item, os.R_OK | os.X_OK)
    return item.is_file(follow_symlinks=False) and not _may(item, os.R_OK)


def _may(item: "os.DirEntry[str]", mode: int) -> bool:
    """Whether opening it in this mode would be allowed, which goes by the effective user."""
    return os.access(item.path, mode, effective_ids=os.access in os.supports_effective_ids)


def _scanned(folder: Path, prefix: str = "") -> "list[os.DirEntry[str]] | None":
    """What lies in a folder under such names, by name; None where there is no such folder."""
    try:
        with os.scandir(folder) as scan:
            named = [item for item in scan if item.name.startswith(prefix)]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in NO_SUCH_NAME:
            return None
        raise
    return sorted(named, key=lambda item: item.name)


def status_of(path: Path) -> os.stat_result | None:
    """The status of a file or folder; links are followed. None where there is nothing."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in NO_SUCH_NAME:
            return None
        raise


def version_of(status: os.stat_result) -> str:
    """What differs where the content does."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def entry_of(path: str, status: os.stat_result, kind: EntryKind | None = None) -> Entry:
    """The entry of a file of this status; a plain file or a special one unless told."""
    if kind is None:
        kind = "file" if stat.S_ISREG(status.st_mode) else "special"
    return Entry(path, status.st_size, version_of(status), status.st_mtime, kind)


def _listed_entry(path: str, item: "os.DirEntry[str]") -> Entry:
    """The entry of what a folder lists; links are not followed."""
    status = item.stat(follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        return entry_of(path, status)
    # realpath, as Path.resolve raises on a link that points to itself.
    return replace(entry_of(path, status, "link"), target=os.path.realpath(item.path))


def is_temporary(name: str) -> bool:
    """Whether a file has the name of one that is being written."""
    return _TEMPORARY.fullmatch(name) is not None


def temporary_beside(path: Path) -> Path:
    """A new name in the folder of a file that is to be written."""
    return path.parent / f".demoire-{uuid4().hex}.tmp"


def make_folders(folder: Path, witness: str = "") -> None:
    """Make a folder, and those above it, where there is none.

    Args:
        folder: The folder.
        witness: What has to be there, or nothing is made; '' if nothing has to.

    Raises:
        FileNotFoundError: The witness is gone. To make the folder would be to begin a place anew,
            beside the one that went away or on the disk below a mount.
    """
    if folder.is_dir():
        return
    if is_away(witness):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), witness)
    folder.mkdir(parents=True, exist_ok=True)


def make_in_folder(path: Path, make: Callable[[Path], None], witness: str = "") -> None:
    """Make a file or link, and its folder where there is none.

    Args:
        path: Of the file or link.
        make: Makes it.
        witness: As for `make_folders`.

    Raises:
        FileNotFoundError: The folder was removed each time, or the witness is gone.
    """
    # Another launch may prune, and remove a folder at any time as long as nothing is in it.
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            make_folders(path.parent, witness)
            make(path)
        except FileNotFoundError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def make_link_at(path: Path, target: str, name: str, witness: str = "") -> None:
    """Make a symbolic link under a temporary name, and rename it.

    Args:
        path: Of the link.
        target: What it says.
        name: The link, as it may be shown.
        witness: As for `make_folders`.

    Raises:
        RefusedNameError: The file system keeps no links.
    """
    temporary = temporary_beside(path)
    try:
        make_in_folder(temporary, lambda link: link.symlink_to(target), witness)
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise RefusedNameError(f"Cannot make {name}: its file system keeps no links.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def open_any(path: Path) -> BinaryIO:
    """Open a file, or a pipe or device without waiting for its other end."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return open(handle, "rb")  # noqa: PTH123


def create_directly(target: Path, data: bytes) -> bool:
    """Create a file on a file system without hard links; False where there is one.

    It is exclusive still, but a crash here may leave a short object.
    """
    try:
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def flush(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
