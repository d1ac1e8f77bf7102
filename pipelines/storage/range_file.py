"""An object in a place as a seekable file, read by ranges."""

from dataclasses import dataclass

from demoire.errors import StorageError
from demoire.seekable_reader import SizedReader
from pipelines.storage.place import Place


@dataclass(frozen=True)
class _Block:
    """Bytes of the object that were read, and where they lie in it."""

    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class RangeFile(SizedReader):
    """A seekable, read-only file over ranged reads of a place.

    A jump (to the next tar header, behind a big payload) costs one small request; reading on from
    where the last request ended doubles its size, up to a limit. So an index of big members moves
    few bytes, and a copy makes few requests.
    """

    SMALLEST = 32 << 10  # bytes asked for after a jump
    LARGEST = 8 << 20  # bytes asked for at most
    KEPT = 3  # blocks in memory

    def __init__(self, place: Place, path: str, size: int, version: str) -> None:
        super().__init__(size)
        self._place = place
        self._path = path
        self._version = version
        self._step = self.SMALLEST
        self._blocks: list[_Block] = []  # most recent last
        self.requests = 0
        self.bytes_read = 0

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fill the whole buffer unless the object ends.

        A raw file may fill less, but callers such as tarfile would take that for a cut file.
        """
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._position < self._size:
            wanted = len(view) - filled
            block = self._block(self._position, wanted)
            begin = self._position - block.start
            piece = block.data[begin : begin + wanted]
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def _block(self, position: int, wanted: int) -> _Block:
        """A block that holds the byte at `position`, read now if it is not at hand."""
        for block in reversed(self._blocks):
            if block.start <= position < block.end:
                return block
        reads_on = bool(self._blocks) and self._blocks[-1].end == position
        if reads_on:
            self._step = min(2 * self._step, self.LARGEST)
        else:
            self._step = self.SMALLEST
        length = max(self._step, min(wanted, self.LARGEST))
        length = min(length, self._size - position)
        data = self._place.read(self._path, position, length, version=self._version)
        self.requests += 1
        self.bytes_read += len(data)
        if len(data) != length:
            name = self._place.full(self._path)
            raise StorageError(f"{name} gave {len(data)} bytes of {length}: try again later.")
        block = _Block(position, data)
        self._blocks = [*self._blocks[1 - self.KEPT :], block]
        return block
