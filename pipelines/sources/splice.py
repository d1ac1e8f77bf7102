"""An archive written anew with other payloads for some members, and every other byte as it was.

A mirror is spliced, not packed: between two changed members the source's own bytes are copied,
headers and all. So names, order, times, modes, owners, pax headers, extra fields, comments,
encrypted members and whatever no library understands come through by construction, and equal input
gives equal bytes. Of a changed member only its sizes and checksums are written anew.

A few members cannot be changed that way: a tar header whose size stands in an extended header, a
zip member that shares bytes with another or with the directory. They are refused, stay as they are,
and the caller says so in the report.

A tar and a zip are read once from front to back. A tar.gz is unpacked into a temporary file first,
and compressed again at about the level it came with: 20 MB/s a core.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

PayloadOf = Callable[[int], bytes]  # the new payload of the member at this position

_COPIED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class _Replacement:
    data: bytes
    end: int  # first byte of the source that is copied again


@dataclass(frozen=True)
class _Edit:
    """From `start` on, what `make` gives instead; it may read the source there. None: nothing is
    changed after all.
    """

    start: int
    make: Callable[[BinaryIO], _Replacement | None]


def _splice(source: BinaryIO, out: BinaryIO, edits: Iterable[_Edit]) -> tuple[int, int]:
    """Copy `source` with the edits, which come in the order of their starts; bytes read and bytes
    written.
    """
    read = written = source.seek(0)
    for edit in edits:
        written += _copy(source, out, edit.start - read)
        read = edit.start
        replacement = edit.make(source)
        if replacement is not None:
            written += out.write(replacement.data)
            read = replacement.end
        source.seek(read)
    rest = _copy(source, out, None)
    return read + rest, written + rest


def _copy(source: BinaryIO, out: BinaryIO, length: int | None) -> int:
    """Copy so many bytes, or all that follow. Raises EOFError where there are fewer."""
    copied = 0
    while length is None or copied < length:
        block = source.read(
            _COPIED_AT_ONCE if length is None else min(_COPIED_AT_ONCE, length - copied)
        )
        if not block:
            if length is not None:
                raise EOFError(f"{length - copied} bytes are missing")
            break
        copied += out.write(block)
    return copied
