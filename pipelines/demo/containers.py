"""Writing and reading the archives of the sample collection, with dates that are always the
same.
"""

import io
import os
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from pipelines.demo.drawing import MODIFIED, DrawnFile

_MODIFIED_SECONDS = 1_136_073_600  # of MODIFIED since 1970


def write_container(path: Path, files: Sequence[DrawnFile]) -> None:
    """Write files as a tar, a zip or a folder, whichever the path's suffix says."""
    if path.suffix == ".tar":
        _write_tar(path, files)
    elif path.suffix == ".zip":
        _write_zip(path, files)
    else:
        _write_folder(path, files)


def read_member(container: Path, member: str) -> bytes:
    """Read one file out of a container.

    Raises:
        OSError: The container cannot be read, or is a folder without that file.
        KeyError: The archive does not hold the file.
    """
    if container.suffix == ".tar":
        with tarfile.open(container) as tar:
            file = tar.extractfile(member)
            assert file is not None
            return file.read()
    if container.suffix == ".zip":
        with zipfile.ZipFile(container) as archive:
            return archive.read(member)
    return (container / member).read_bytes()


def _write_tar(path: Path, files: Sequence[DrawnFile]) -> None:
    with tarfile.open(path, "w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.name)
            entry.size = len(file.content)
            entry.mtime = _MODIFIED_SECONDS
            entry.mode = 0o640
            archive.addfile(entry, io.BytesIO(file.content))


def _write_zip(path: Path, files: Sequence[DrawnFile]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"scanned in the reading room"
        for file in files:
            is_compressible = file.name.endswith((".txt", ".xml", ".bmp"))
            method = zipfile.ZIP_DEFLATED if is_compressible else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(file.name, MODIFIED), file.content, method)


def _write_folder(path: Path, files: Sequence[DrawnFile]) -> None:
    for file in files:
        target = path / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        # The date is part of a loose file's version.
        os.utime(target, (_MODIFIED_SECONDS, _MODIFIED_SECONDS))
