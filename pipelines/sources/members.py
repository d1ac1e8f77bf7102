"""What is inside a tar or a zip: its members in order, and one zip member's payload.

Reading stays with the standard library (`tarfile`, `zipfile`) over a seekable file; this module
adds what a hostile or damaged archive needs. `tarfile` stops in silence at a bad header, so the end
is checked: whatever follows the last member must be zeros. It trusts sizes in headers, so reads and
steps are bounded. An archive that does not check out raises DamagedArchiveError: it is copied as it
is, byte for byte, because a mirror built from half an index would lose members.
"""

import re
import tarfile
from typing import BinaryIO, Literal

from demoire.errors import UsageError
from demoire.imaging.formats import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES
from pipelines.records import MemberKind

# a source of more is taken for damaged; two million cost about 1 GB while indexed
MOST_MEMBERS = 2_000_000
LARGEST_MEMBER = 1 << 30  # bytes of one image, unpacked; a larger one is quarantined as too_large

_LARGEST_HEADER = 256 << 20  # a zip directory of two million members; far more than any tar header

ArchiveKind = Literal["tar", "tar.gz", "zip"]
_ARCHIVES: dict[str, ArchiveKind] = {
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".zip": "zip",
}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class DamagedArchiveError(UsageError):
    """An archive that is cut short or does not check out. It is mirrored as it is; none of its
    images is cleaned.
    """


def archive_kind(name: str) -> ArchiveKind | None:
    """The kind of archive by its name's end; None if it is none that is opened."""
    lower = name.lower()
    return next((kind for suffix, kind in _ARCHIVES.items() if lower.endswith(suffix)), None)


def suffix_of(name: str) -> str:
    """'.jpg' of 'a/B.JPG'; '' where there is none."""
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_image_name(name: str) -> bool:
    """Whether a name says image. The forks that macOS puts beside images ('._a.jpg', '__MACOSX/')
    are none.
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    if base.startswith("._") or "__MACOSX" in name.split("/"):
        return False
    return suffix_of(name) in IMAGE_SUFFIXES or suffix_of(name) in UNSUPPORTED_SUFFIXES


def is_unsafe_name(name: str) -> bool:
    """Whether unpacking a member under this name could leave its folder, here or on another
    system.
    """
    parts = name.replace("\\", "/").split("/")
    return not name or "\0" in name or parts[0] == "" or ".." in parts or bool(_DRIVE.match(name))


def member_kind(name: str, *, plain: bool) -> MemberKind:
    """`image` for a plain file that is cleaned; `unsafe` for one that is not, but has its row in
    the report.
    """
    if not is_image_name(name) or not plain:
        return "other"
    return "unsafe" if is_unsafe_name(name) else "image"


class _Bounded:
    """A file that refuses the giant reads that a forged header asks for."""

    name = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, lambda: None
        self.seekable = lambda: True

    def read(self, size: int = -1) -> bytes:
        if size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


PROBES, PROBE_BYTES = 32, 64 << 10
