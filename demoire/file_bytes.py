"""The bytes of a whole file: in memory, or of a large one in a temporary file that is mapped.

Anonymous memory is scarce, because the system cannot take it back. It can take back the pages of a
file once they are on disk. So a file of 96 MB and more is copied into a temporary file when it is
read, and what is made of it is written into another: it goes from hand to hand, and to child
processes, without being copied into memory. What came as `bytes` stays so, and so does all that is
made of it.

A temporary file has no name and disappears with the last who holds it. It is never the user's own
file, since whoever made that shorter meanwhile would kill this process.
"""

import hashlib
import io
import mmap
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from demoire.errors import MachineError
from demoire.memory import free_memory
from demoire.seekable_reader import SizedReader
from demoire.temporary_files import new_temporary_file, room_for_files, told_of_no_room

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGE_BYTES = 96 << 20
"""What has so many bytes and more lies in a file: some 33 MP of RGB in 8 bits."""

_COPIED = 1 << 20  # bytes at a time


class MappedFile(mmap.mmap):
    """A temporary file in memory. Parts of it are bytes, as parts of bytes are.

    Attributes:
        descriptor: Of the file, open as long as this is there.
    """

    descriptor: int

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self.descriptor)

    def startswith(self, prefix: bytes | tuple[bytes, ...], start: int = 0) -> bool:
        """As that of bytes."""
        prefixes = prefix if isinstance(prefix, tuple) else (prefix,)
        return any(self[start : start + len(each)] == each for each in prefixes)

    def endswith(self, suffix: bytes) -> bool:
        """As that of bytes."""
        return self[max(0, len(self) - len(suffix)) :] == suffix

    def index(self, part: bytes) -> int:
        """As that of bytes.

        Raises:
            ValueError: It is not there.
        """
        at = self.find(part, 0)
        if at < 0:
            raise ValueError("no such part")
        return at

    def let_go(self) -> None:
        """Give back the memory of what is not needed for a while; the next access reads it."""
        self.madvise(mmap.MADV_DONTNEED)


FileBytes: TypeAlias = bytes | MappedFile
"""The bytes of a whole file. Where memory counts, take a part of them as a memoryview."""


def mapped_file(descriptor: int, size: int, *, writable: bool = False) -> MappedFile:
    """A file that is mapped, whose descriptor is closed with it.

    Raises:
        OSError: It cannot be mapped.
    """
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    try:
        memory = MappedFile(descriptor, size, access=access)
    except BaseException:
        os.close(descriptor)
        raise
    memory.descriptor = descriptor
    return memory


def read_file(path: Path) -> FileBytes:
    """The bytes of a file of this machine.

    Raises:
        OSError: It cannot be read.
        MachineError: It is large, and there is no room for a copy.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        # Pipes say that they have none.
        return read_part(file, 0, size) if size >= LARGE_BYTES else file.read()


def read_part(file: BinaryIO, start: int, length: int) -> FileBytes:
    """So many bytes of a file, fewer where it ends; of many a copy.

    Raises:
        OSError: It cannot be read.
        MachineError: There is no room for a copy.
    """
    file.seek(start)
    if length < LARGE_BYTES:
        return file.read(length)
    return collected(blocks_of(file, length), length)


def blocks_of(file: BinaryIO, length: int) -> Iterator[bytes]:
    """So many bytes from where a file stands, a block at a time; fewer where it ends."""
    missing = length
    while block := file.read(min(_COPIED, missing)):
        missing -= len(block)
        yield block


def collected(parts: Iterable[bytes], most: int) -> FileBytes:
    """What comes in parts, as one: in a file if it is large and there is room, else in memory.

    Args:
        parts: One behind the other.
        most: Bytes that they have together at most.

    Raises:
        MachineError: It is large, and there is room for it neither in a file nor in memory.
    """
    file = _room_for(most) if most >= LARGE_BYTES else None
    if file is None:
        return b"".join(parts)
    with file:
        for part in parts:
            file.write(part)
        file.truncate()
        return finished(file)


def _room_for(size: int) -> BinaryIO | None:
    """A new file that has so many bytes of the disk; None where memory has to do, and can.

    Raises:
        MachineError: Neither has room.
    """
    try:
        file = new_temporary_file()
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            file.close()
            raise
    except OSError as error:
        # What is made of it comes on top: the pixels, the cleaned ones, and their file.
        if size > free_memory() / 4:
            raise MachineError(told_of_no_room()) from error
        return None
    return file


def one_behind_the_other(files: Sequence[FileBytes]) -> FileBytes:
    """The contents of some files: in memory, or mapped if one of them is.

    Raises:
        MachineError: There is no room for them.
    """
    if len(files) == 1:
        return files[0]
    with room_for_files():
        return file_of_parts(map(memoryview, files), like=max(files, key=len, default=b""))


def part_of(data: FileBytes, start: int, length: int) -> FileBytes:
    """A file in a file: in memory if it is small, mapped if it is large and the whole one is."""
    is_whole = start == 0 and length == len(data)
    if is_whole or isinstance(data, bytes):
        return data if is_whole else data[start : start + length]
    return read_part(stream_of(data), start, length)


def kept(data: bytes) -> FileBytes:
    """The same bytes, in a file if they are many."""
    return read_part(io.BytesIO(data), 0, len(data))


def digest_of(data: FileBytes) -> str:
    """The sha256 of a file, 64 hex digits."""
    with stream_of(data) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_file(path: Path, data: FileBytes) -> None:
    """Write the bytes of a file.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("wb") as out, stream_of(data) as stream:
        shutil.copyfileobj(stream, out, _COPIED)


def stream_of(data: FileBytes) -> io.BytesIO | io.BufferedReader:
    """The same as a file to read, with a position of its own."""
    if isinstance(data, bytes):
        return io.BytesIO(data)
    return io.BufferedReader(_Reader(data), _COPIED)


class _Reader(SizedReader):
    """Reads past the map, so that what was read takes no memory."""

    def __init__(self, file: MappedFile) -> None:
        super().__init__(len(file))
        self._file = file

    def readinto(self, buffer: "WriteableBuffer") -> int:
        count = os.preadv(self._file.descriptor, [buffer], self._position)
        self._position += count
        return count


def new_file(like: FileBytes) -> BinaryIO:
    """An empty file to write and read, in memory or not, as another one; to be `finished`.

    Raises:
        OSError: There can be none.
    """
    return io.BytesIO() if isinstance(like, bytes) else new_temporary_file()


def copy_to_change(data: FileBytes) -> BinaryIO:
    """A copy of a file, to be changed and `finished`.

    Raises:
        OSError: There is no room for it.
    """
    if isinstance(data, bytes):
        return io.BytesIO(data)
    copy = new_temporary_file()
    shutil.copyfileobj(stream_of(data), copy, _COPIED)
    return copy


def finished(file: BinaryIO) -> FileBytes:
    """The bytes of a file that was written, which may be closed then.

    Raises:
        OSError: There is no room for them.
    """
    if isinstance(file, io.BytesIO):
        return file.getvalue()
    size = file.seek(0, os.SEEK_END)
    file.flush()
    if not size:  # of which there is no map
        return b""
    return mapped_file(os.dup(file.fileno()), size)


def file_of_parts(parts: Iterable[bytes | memoryview], like: FileBytes) -> FileBytes:
    """A file of these parts, in memory or not, as another one.

    Raises:
        OSError: There is no room for it.
    """
    if isinstance(like, bytes):
        return b"".join(parts)
    with new_temporary_file() as file:
        for part in parts:
            file.write(part)
        return finished(file)


def count_in(data: FileBytes, part: bytes) -> int:
    """How often these bytes are in a file."""
    return sum(1 for _ in re.finditer(re.escape(part), data))
