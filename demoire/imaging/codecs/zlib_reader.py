"""A zlib stream that comes in parts, unpacked by so many bytes."""

import zlib
from collections.abc import Iterable


class ZlibReader:
    """Reads what a stream unpacks to."""

    def __init__(self, parts: Iterable[bytes | memoryview]) -> None:
        """`parts`: the stream, of which any may be empty."""
        self._parts = (part for part in parts if part)
        self._unpacker = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """The next bytes, fewer where the stream or its last part ends.

        Raises:
            zlib.error: The stream is damaged.
        """
        pieces = []
        missing = size
        while missing:
            packed = self._unpacker.unconsumed_tail or next(self._parts, b"")
            # Even without any more to put in something may come out.
            piece = self._unpacker.decompress(packed, missing)
            if not packed and not piece:
                break
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)
