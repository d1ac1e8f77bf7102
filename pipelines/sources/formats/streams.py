"""Compressed streams, whatever their format: read with bounds, from front to back.

A file may hold several streams one behind the other (gzip members, xz streams, zstd frames, what
parallel packers write): together they unpack to one. Zeros between and behind them are padding;
anything else is damage, because a mirror that left it out would lose it.
"""

import io
from typing import TYPE_CHECKING, BinaryIO, Protocol

from demoire.seekable_reader import SeekableReader
from pipelines.sources.members import BOMB_RATIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Bytes that unpacking may keep to refer back to. The largest that `xz -9` and `zstd` without
# `--ultra` or `--long` use is 64 MB and 8 MB; forged headers ask for gigabytes.
LARGEST_WINDOW = 128 << 20

_PACKED_AT_ONCE = 1 << 16  # bytes


class BrokenStreamError(OSError):
    """A compressed stream that is cut short, spoilt, or unpacks to far too much."""


class Unpacker(Protocol):
    """Unpacks one stream, like `bz2.BZ2Decompressor`."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether more has to go in before anything comes out."""

    @property
    def unused_data(self) -> bytes:
        """What went in behind the stream's end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take in some more; at most `max_length` bytes come out."""


class Packer(Protocol):
    """Packs one stream, like `bz2.BZ2Compressor`."""

    def compress(self, data: bytes, /) -> bytes:
        """Take in some more; what is ready comes out."""

    def flush(self) -> bytes:
        """End the stream; the rest comes out."""


class StreamFormat(Protocol):
    """What a format of stream can do: one module each."""

    BROKEN: tuple[type[Exception], ...]  # what an unpacker raises

    def unpacker(self) -> Unpacker:
        """An unpacker for one stream."""

    def packer_like(self, source: BinaryIO) -> Packer:
        """A packer of the effort, and with the checks, that the source's first bytes show."""


class UnpackedStream(SeekableReader):
    """What a file of compressed streams unpacks to. The file belongs to the caller.

    Seeking forward reads; going back begins anew.
    """

    def __init__(self, file: BinaryIO, stream_format: StreamFormat, most: int | None) -> None:
        """Read a file from where it stands.

        Args:
            file: It can be sought.
            stream_format: Of the streams in it.
            most: Bytes to which it may unpack; None for any number.
        """
        super().__init__()
        self._file = file
        self._start = file.tell()
        self._format = stream_format
        self._most = most
        self._unpacker = stream_format.unpacker()

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read on.

        Raises:
            BrokenStreamError: The stream does not go on as it should.
        """
        view = memoryview(buffer).cast("B")
        data = self._read(len(view)) if len(view) else b""
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position counted from the beginning; behind the end it is the end.

        Raises:
            BrokenStreamError: The stream is broken before it gets there.
            io.UnsupportedOperation: Another `whence`.
        """
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a stream has no end to count from")
        self._check(offset)
        if offset < self._position:
            self._file.seek(self._start)
            self._unpacker = self._format.unpacker()
            self._position = 0
        while self._position < offset:
            if not self._read(min(offset - self._position, _PACKED_AT_ONCE)):
                break
        return self._position

    def _read(self, size: int) -> bytes:
        """At least one byte, and at most `size`; none at the end."""
        data = b""
        while not data:
            packed = b""
            if self._unpacker.eof:
                packed = self._behind_padding(self._unpacker.unused_data)
                if not packed:
                    return b""
                self._unpacker = self._format.unpacker()
            elif self._unpacker.needs_input:
                packed = self._more()
            data = self._unpack(packed, size)
        self._position += len(data)
        self._check(self._position)
        return data

    def _more(self) -> bytes:
        packed = self._file.read(_PACKED_AT_ONCE)
        if not packed:
            raise BrokenStreamError(
                "Compressed file ended before the end-of-stream marker was reached"
            )
        return packed

    def _behind_padding(self, packed: bytes) -> bytes:
        """The next bytes, from the first on that is not zero; none at the file's end."""
        packed = packed.lstrip(b"\0")
        while not packed:
            block = self._file.read(_PACKED_AT_ONCE)
            if not block:
                break
            packed = block.lstrip(b"\0")
        return packed

    def _unpack(self, packed: bytes, size: int) -> bytes:
        try:
            return self._unpacker.decompress(packed, size)
        except self._format.BROKEN as error:
            raise BrokenStreamError(str(error)) from error

    def _check(self, position: int) -> None:
        if self._most is not None and position > self._most:
            raise BrokenStreamError(f"it unpacks to more than {BOMB_RATIO} times its size")
