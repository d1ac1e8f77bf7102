"""An object in a place as a seekable file, read by ranges."""

import errno
import io
import os

from demoire.errors import StorageError
from pipelines.storage.place import Place


class RangeFile(io.RawIOBase):
    """A seekable, read-only file over ranged reads of a place.

    A jump (to the next tar header, behind a big payload) costs one small request; reading on from
    where the last request ended doubles its size, up to a limit. So an index of big members moves
    few bytes, and a copy few requests.
    """

    SMALLEST, LARGEST, KEPT = 32 << 10, 8 << 20, 3

    def __init__(self, place: Place, path: str, size: int, version: str) -> None:
        super().__init__()
        self._place, self._path, self._size, self._version = place, path, size, version
        self._position = 0
        self._step = self.SMALLEST
        self._blocks: list[tuple[int, bytes]] = []  # most recent last
        self.requests = 0
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = (
            offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        )
        if position < 0:
            raise OSError(errno.EINVAL, "cannot seek before the beginning")
        self._position = position
        return position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fills the whole buffer unless the file ends: callers such as tarfile take less for a cut
        file.
        """
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._position < self._size:
            start, block = self._block(self._position, len(view) - done)
            piece = block[self._position - start : self._position - start + len(view) - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done

    def _block(self, position: int, wanted: int) -> tuple[int, bytes]:
        for start, block in reversed(self._blocks):
            if start <= position < start + len(block):
                return start, block
        last_end = sum((self._blocks[-1][0], len(self._blocks[-1][1]))) if self._blocks else -1
        self._step = min(2 * self._step, self.LARGEST) if position == last_end else self.SMALLEST
        length = min(max(self._step, min(wanted, self.LARGEST)), self._size - position)
        block = self._place.read(self._path, position, length, version=self._version)
        self.requests += 1
        self.bytes_read += len(block)
        if len(block) != length:
            raise StorageError(
                f"{self._place.full(self._path)} gave {len(block)} bytes of {length}: try again later."
            )
        self._blocks = [*self._blocks[1 - self.KEPT :], (position, block)]
        return position, block
