"""What the members of every kind of source have in common: names, limits, and what is not read.

Reading an archive's headers stays with the standard library (`tarfile`, `zipfile`) over a seekable
file; what a hostile or damaged archive needs besides is added here and in the module of its format.
An archive that does not check out raises DamagedArchiveError: it is copied as it is, byte for byte,
because a mirror built from half an index would lose members.
"""

import re
import tarfile
from dataclasses import replace
from typing import BinaryIO, Literal

from demoire.errors import ImageError, UsageError
from demoire.imaging.formats import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES
from demoire.reasons import Reason
from pipelines.records import Member, MemberKind, Source

# A source of more is taken for damaged; two million cost about 1 GB while they are indexed.
MOST_MEMBERS = 2_000_000

# What unpacks to more than so many times its size, and to more than so many bytes, is a trap: it is
# quarantined as compression_bomb.
BOMB_RATIO = 200
BOMB_MEMBER = 64 << 20  # bytes

# Bytes of the directory of a zip of two million members; far more than any header of a tar.
_LARGEST_HEADER = 256 << 20

ArchiveKind = Literal["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"]

_ARCHIVES: dict[str, ArchiveKind] = {
    ".tar": "tar",
    ".cbt": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.bz2": "tar.bz2",
    ".tbz2": "tar.bz2",
    ".tbz": "tar.bz2",
    ".tar.xz": "tar.xz",
    ".txz": "tar.xz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".zip": "zip",
    ".cbz": "zip",
    ".epub": "zip",
}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class DamagedArchiveError(UsageError):
    """An archive that is cut short or does not check out.

    It is mirrored as it is; none of its images is cleaned.
    """


class BoundedFile:
    """A file that refuses the giant reads that a forged header asks for.

    It stays open when the library that reads it closes it.
    """

    name = ""  # zipfile and tarfile ask for it

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes.

        Raises:
            tarfile.ReadError: No honest header is of that size.
        """
        if size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another position; see `io.IOBase.seek`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position in the file, bytes."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Always: archives are read from seekable files."""
        return True

    def close(self) -> None:
        """Do nothing: the file belongs to the caller."""


def archive_kind(name: str) -> ArchiveKind | None:
    """The kind of archive by its name's end; None if it is none that is opened."""
    lower = name.lower()
    for suffix, kind in _ARCHIVES.items():
        if lower.endswith(suffix):
            return kind
    return None


def suffix_of(name: str) -> str:
    """'.jpg' of 'a/B.JPG'; '' where there is none."""
    base = _base_of(name)
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_fork(name: str) -> bool:
    """Whether it is one of the forks that macOS puts beside files: '._a.jpg', '__MACOSX/...'."""
    return _base_of(name).startswith("._") or "__MACOSX" in name.split("/")


def is_image_name(name: str) -> bool:
    """Whether a name is that of an image.

    The forks that macOS puts beside images ('._a.jpg', '__MACOSX/') are none.
    """
    suffix = suffix_of(name)
    return not is_fork(name) and (suffix in IMAGE_SUFFIXES or suffix in UNSUPPORTED_SUFFIXES)


def is_unsafe_name(name: str) -> bool:
    """Whether unpacking a member under this name could leave its folder, on any system."""
    if not name or "\0" in name or _DRIVE.match(name):
        return True
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts


def member_kind(name: str, *, plain: bool) -> MemberKind:
    """What is done with a member.

    Args:
        name: As the source gives it.
        plain: Whether it is a plain file: no folder, link or device.

    Returns:
        `image` for what is cleaned; `unsafe` for an image that is not, but has its row in the
        report; `other` for everything else.
    """
    if not is_image_name(name) or not plain:
        return "other"
    return "unsafe" if is_unsafe_name(name) else "image"


def whole_archive(source: Source, kind: MemberKind) -> Member:
    """A member that stands for a whole archive, at a position that none in it has."""
    return Member(-1, "", kind, -1, source.size, source.size, "stored", "", 0.0)


def withheld_member(member: Member, reason: Reason) -> Member:
    """The member as one that is not in the mirror."""
    return replace(member, kind="withheld", reason=reason.value, megapixels=0.0)


def obstacle(member: Member) -> ImageError | None:
    """Why a member is not read at all: left alone by the index, a trap, or in no readable form."""
    if member.reason:
        reason = Reason.of(member.reason)
        return ImageError(reason, f"Member {member.position} is left alone: {reason.meaning}.")
    if member.size > max(BOMB_MEMBER, BOMB_RATIO * member.length):
        return ImageError(
            Reason.COMPRESSION_BOMB,
            f"Member {member.position} unpacks to {member.size} bytes: a trap.",
        )
    if member.offset < 0:
        return ImageError(
            Reason.UNREADABLE,
            f"Member {member.position} is encrypted, or compressed in an uncommon way.",
        )
    return None


def unreadable(member: Member, why: str) -> ImageError:
    """The error for a member whose bytes cannot be had."""
    return ImageError(
        Reason.UNREADABLE, f"Member {member.position} cannot be read out of its archive: {why}."
    )


def _base_of(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]
