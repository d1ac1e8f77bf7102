"""A zlib stream that comes in parts, unpacked by so many bytes."""

import zlib
from collections.abc import Iterable

_PUT_IN_AT_ONCE = 1 << 16  # bytes; zlib copies what it has not used each time


class ZlibReader:
    """Reads what a stream unpacks to."""

    def __init__(self, parts: Iterable[bytes | memoryview]) -> None:
        """`parts`: of the stream, of any length."""
        self._parts = (
            part[start : start + _PUT_IN_AT_ONCE]
            for part in parts
            for start in range(0, len(part), _PUT_IN_AT_ONCE)
        )
        self._unpacker = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """The next bytes, fewer where the stream or its last part ends.

        Raises:
            zlib.error: The stream is damaged.
        """
        pieces = []
        missing = size
        while missing and not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail or next(self._parts, b"")
            # Even without any more to put in something may come out.
            piece = self._unpacker.decompress(packed, missing)
            if not packed and not piece:
                break
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)
