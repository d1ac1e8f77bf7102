"""JPEG files in which single blocks are replaced, and all others keep their very coefficients.

A JPEG block is 64 quantised coefficients. Here a file's coefficients are read, those of the changed
blocks exchanged, and all of them coded again: no other block is decoded, so none loses anything.
Huffman tables are optimised. Restart markers are not written.

Where libjpeg gives up it ends its process (`demoire.imaging.codecs.libjpeg`). So it runs in a child
process, and gets files that were decoded before. New blocks go there through memory that both
share, a few megabytes of them at a time; the child holds the file's coefficients, nobody holds the
new ones as a whole. Where all blocks are new the old ones are not read.

Costs: 150 MP/s a core, both processes together.

References:
    ITU-T T.81 (ISO/IEC 10918-1), A.1.1 for the blocks of a component, A.3.3 for the DCT.
"""

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from demoire.imaging.child import Child, Children
from demoire.imaging.codecs.libjpeg import Coefficients

_SECONDS = 30.0
_SECONDS_A_MEGABYTE = 10.0
_BLOCK_BYTES = 128
_SHARED_BYTES = 8 << 20  # room for the blocks of a row of any picture, and much more


class Colours(IntEnum):
    """What the components of a file are, by libjpeg's numbers."""

    GREY = 1
    RGB = 2
    YCBCR = 3
    CMYK = 4
    YCCK = 5


@dataclass(frozen=True)
class NewBlocks:
    """New blocks in a rectangle of one component's blocks.

    Attributes:
        component: Its number.
        top: Its first row of blocks.
        left: The first column.
        coefficients: (rows, columns, 8, 8) int16 of all blocks in it; the mean comes first.
        wanted: (rows, columns), True for those that are new.
    """

    component: int
    top: int
    left: int
    coefficients: NDArray[np.int16]
    wanted: NDArray[np.bool_]


@dataclass(frozen=True)
class _Shared:
    """The blocks of one rectangle, of which those in the shared memory are new."""

    component: int
    top: int
    left: int
    first: int  # of its blocks in the shared memory
    wanted: NDArray[np.bool_]


@dataclass(frozen=True)
class _Begin:
    """The file whose blocks are to be replaced."""

    data: bytes
    are_all_new: bool


@dataclass(frozen=True)
class _Replace:
    """What the child is to do with the blocks in the shared memory; it answers when it is done."""

    rectangles: tuple[_Shared, ...]


@dataclass(frozen=True)
class _Code:
    """The child is to code the file; it answers with it."""


coders = Children(
    "demoire.imaging.codecs.jpeg_coefficients", "serve_coding", shared_bytes=_SHARED_BYTES
)


def with_blocks(
    data: bytes, blocks: Iterable[NewBlocks], *, are_all_new: bool = False
) -> bytes | None:
    """A file with new blocks.

    Args:
        data: A JPEG file without needless segments (`lean_file`) that can be decoded.
        blocks: The new ones, in any order.
        are_all_new: Whether no block of the file stays.

    Returns:
        A file of the same size, tables and sampling, progressive if it was; None where libjpeg
        cannot code it so.
    """
    seconds = _SECONDS + _SECONDS_A_MEGABYTE * len(data) / 1e6
    try:
        with coders.lend() as coder:
            coder.pipe.send(_Begin(data, are_all_new))
            _Sender(coder, seconds).send(blocks)
            coder.pipe.send(_Code())
            _wait(coder, seconds)
            return coder.pipe.recv_bytes()
    except (EOFError, OSError):
        return None


def _wait(coder: Child, seconds: float) -> None:
    if not coder.pipe.poll(seconds):
        raise OSError("the coder did not answer")


class _Sender:
    """Gives blocks to a child, as many at a time as the shared memory holds."""

    def __init__(self, coder: Child, seconds: float) -> None:
        self._coder = coder
        self._seconds = seconds
        self._room = _blocks_in(coder.shared)
        self._rectangles: list[_Shared] = []
        self._filled = 0  # blocks of the room

    def send(self, blocks: Iterable[NewBlocks]) -> None:
        for rectangle in blocks:
            rows, columns = rectangle.wanted.shape
            at_a_time = len(self._room) // max(1, columns)
            for row in range(0, rows, at_a_time):
                self._add(rectangle, slice(row, min(row + at_a_time, rows)))
        self._flush()

    def _add(self, rectangle: NewBlocks, rows: slice) -> None:
        part = rectangle.coefficients[rows]
        count = part.shape[0] * part.shape[1]
        if self._filled + count > len(self._room):
            self._flush()
        end = self._filled + count
        self._room[self._filled : end].reshape(part.shape)[:] = part
        top = rectangle.top + rows.start
        wanted = rectangle.wanted[rows]
        shared = _Shared(rectangle.component, top, rectangle.left, self._filled, wanted)
        self._rectangles.append(shared)
        self._filled = end

    def _flush(self) -> None:
        """Have the child take what is there, so that there is room again."""
        if not self._rectangles:
            return
        self._coder.pipe.send(_Replace(tuple(self._rectangles)))
        _wait(self._coder, self._seconds)
        self._coder.pipe.recv()
        self._rectangles.clear()
        self._filled = 0


def _blocks_in(shared: mmap.mmap | None) -> NDArray[np.int16]:
    """The shared memory as blocks, (N, 8, 8)."""
    assert shared is not None
    return np.frombuffer(shared, np.int16).reshape(-1, 8, 8)


# In the child


def serve_coding(descriptor: int, shared_descriptor: int) -> None:
    """Code what comes down the pipe until it is closed: the main function of a child."""
    pipe = Connection(descriptor)
    room = _blocks_in(mmap.mmap(shared_descriptor, _SHARED_BYTES)).reshape(-1, 64)
    while True:
        try:
            # The file is in no variable: while the child waits it would take its room.
            _code_for(pipe, pipe.recv(), room)
        except EOFError:
            return


def _code_for(pipe: Connection, begin: _Begin, room: NDArray[np.int16]) -> None:
    """Replace the blocks of one file as they come, and answer with the file at last."""
    file = Coefficients(begin.data, are_read=not begin.are_all_new)
    while True:
        request: _Replace | _Code = pipe.recv()
        match request:
            case _Replace(rectangles):
                for rectangle in rectangles:
                    _replace(file, rectangle, room)
                file.let_go()
                pipe.send(None)
            case _Code():
                pipe.send_bytes(file.coded())
                return


def _replace(file: Coefficients, rectangle: _Shared, room: NDArray[np.int16]) -> None:
    rows, columns = rectangle.wanted.shape
    end = rectangle.first + rows * columns
    new = room[rectangle.first : end].reshape(rows, columns, 64)
    here = np.s_[rectangle.top : rectangle.top + rows, rectangle.left : rectangle.left + columns]
    blocks = file.blocks(rectangle.component)[here]
    if rectangle.wanted.all():
        blocks[:] = new
    else:
        blocks[rectangle.wanted] = new[rectangle.wanted]
