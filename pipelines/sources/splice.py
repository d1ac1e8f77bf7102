"""An archive written anew with other payloads for some members, and every other byte as it was.

A mirror is spliced, not packed: between two changed members the source's own bytes are copied,
headers and all. So names, order, times, modes, owners, pax headers, extra fields, comments,
encrypted members and whatever no library understands come through by construction, and equal input
gives equal bytes. Of a changed member only its sizes and checksums are written anew.

A few members cannot be changed that way: a tar header whose size stands in an extended header, a
zip member that shares bytes with another or with the directory. They are refused, stay as they are,
and the caller says so in the report.

A tar and a zip are read once from front to back. A compressed tar is unpacked into a temporary file
first, and compressed again at about the level it came with.
"""

import mmap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

NewPayload = bytes | mmap.mmap  # a member's content; a large one is a mapped file
# The new payload of the member at this position; None where the member is to stay as it is.
PayloadOf = Callable[[int], NewPayload | None]

COPIED_AT_ONCE = 1 << 20  # bytes


class Writer(Protocol):
    """Where bytes can be written to."""

    def write(self, data: bytes, /) -> int:
        """Write all of the bytes, and return how many they are."""


@dataclass(frozen=True)
class Replacement:
    """What is written in place of the source's bytes from the edit's start to `end`."""

    parts: tuple[NewPayload, ...]
    end: int  # first byte of the source that is copied again


@dataclass(frozen=True)
class Edit:
    """From byte `start` of the source on, what `make` gives instead.

    `make` is called with the source positioned there, and may read on. None means that nothing is
    changed after all.
    """

    start: int
    make: Callable[[BinaryIO], Replacement | None]


@dataclass(frozen=True)
class Spliced:
    """How much a splice took in and put out, bytes."""

    read: int
    written: int


def mapped_payload(path: Path) -> mmap.mmap:
    """The content of a local file that is not empty. The map outlives the file's name."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def splice(source: BinaryIO, out: Writer, edits: Iterable[Edit]) -> Spliced:
    """Copy `source` to `out` with the edits, which come in the order of their starts.

    Raises:
        EOFError: The source ends before an edit begins.
    """
    source.seek(0)
    read = 0
    written = 0
    for edit in edits:
        written += _copy_exactly(source, out, edit.start - read)
        read = edit.start
        replacement = edit.make(source)
        if replacement is not None:
            for part in replacement.parts:
                written += _write(out, part)
            read = replacement.end
        source.seek(read)
    rest = _copy_rest(source, out)
    return Spliced(read + rest, written + rest)


def _write(out: Writer, payload: NewPayload) -> int:
    """Write a payload by pieces, since a large one is not in memory."""
    for start in range(0, len(payload), COPIED_AT_ONCE):
        out.write(payload[start : start + COPIED_AT_ONCE])
    return len(payload)


def _copy_exactly(source: BinaryIO, out: Writer, length: int) -> int:
    missing = length
    while missing > 0:
        block = source.read(min(COPIED_AT_ONCE, missing))
        if not block:
            raise EOFError(f"{missing} bytes are missing")
        out.write(block)
        missing -= len(block)
    return length - missing


def _copy_rest(source: BinaryIO, out: Writer) -> int:
    copied = 0
    while True:
        block = source.read(COPIED_AT_ONCE)
        if not block:
            return copied
        out.write(block)
        copied += len(block)
