"""JPEG files in which single blocks are replaced, and all others keep their very coefficients.

A JPEG block is 64 quantised coefficients. Here a file's coefficients are read, those of the changed
blocks exchanged, and all of them coded again: no other block is decoded, so none loses anything.
Where all blocks are new the old ones are not read, and the pixels are simply coded. Restart markers
are not written.

Where libjpeg gives up it ends its process (`demoire.imaging.codecs.libjpeg`). So it runs in a child
process, and gets files that were decoded before. New pixels go there through memory that both
share, a few megabytes of them at a time.

Costs, both processes together: some 5 ms a megapixel where all of a picture changed, 8 to 10 where
a part of it did, 20 and more for progressive files.

References:
    ITU-T T.81 (ISO/IEC 10918-1), A.1.1 for the blocks of a component, A.2 for units.
"""

import math
import mmap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.child import Child, Children
from demoire.imaging.codecs.libjpeg_blocks import Coefficients, PixelCoder
from demoire.imaging.codecs.libjpeg_target import Coding, Colours
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.room import let_go_behind

_SECONDS = 30.0
_SECONDS_A_MEGABYTE = 10.0
_SHARED_BYTES = 8 << 20  # room for a row of any picture, and much more


@dataclass(frozen=True)
class NewUnits:
    """Where a picture's pixels are new: a rectangle of its units.

    Attributes:
        top: Its first row of units.
        left: The first column.
        wanted: (rows, columns), True for those that are new.
        are_all: Whether these are all units of the picture, and all of them are new.
    """

    top: int
    left: int
    wanted: NDArray[np.bool_]
    are_all: bool


@dataclass(frozen=True)
class _Begin:
    """The file whose blocks are to be replaced, and the sizes of the pixels to come.

    Rows of pixels then come in the shared memory, those of the sample first: the parent says how
    many there are, and the child answers when it has taken them. At last it answers with the file.
    """

    data: bytes
    colours: Colours
    sample: tuple[int, ...]
    shape: tuple[int, ...]
    units: NewUnits


coders = Children(
    "demoire.imaging.codecs.jpeg_coefficients", "serve_coding", shared_bytes=_SHARED_BYTES
)


def with_pixels(
    data: bytes, pixels: Pixels, units: NewUnits, sample: Pixels, colours: Colours
) -> bytes | None:
    """A file in which some units have other pixels.

    Args:
        data: A JPEG file without needless segments (`lean_file`) that can be decoded. Where all
            units are new it may end with the header of its first scan.
        pixels: (h, w, C) uint8 of the rectangle of units: grey, RGB, or CMYK as it is stored. It
            ends with a unit or with the picture.
        units: Where they belong.
        sample: (h, w, C) uint8 of units from all over the picture, for which Huffman codes are
            chosen; empty to choose them for the picture itself, as is always done for a progressive
            one.
        colours: What the file's components are.

    Returns:
        A file of the same size, quantisation and sampling, progressive if it was; None where
        libjpeg cannot code it so.
    """
    seconds = _SECONDS + _SECONDS_A_MEGABYTE * (len(data) + pixels.nbytes) / 1e6
    try:
        with coders.lend() as coder:
            coder.pipe.send(_Begin(data, colours, sample.shape, pixels.shape, units))
            for picture in (sample, pixels):
                for count in _in_shared_memory(picture, coder):
                    coder.pipe.send(count)
                    _wait(coder, seconds)
                    coder.pipe.recv()
            _wait(coder, seconds)
            return coder.pipe.recv_bytes()
    except (EOFError, OSError):
        return None


def _in_shared_memory(pixels: Pixels, coder: Child) -> Iterator[int]:
    """Put as many rows at a time into the shared memory as it holds; how many these are."""
    assert coder.shared is not None
    room = np.frombuffer(coder.shared, np.uint8)
    height, width, channels = pixels.shape
    rows = in_stripes(Box(0, 0, height, width), len(room) // channels, columns=max(1, width))
    for stripe in let_go_behind(rows, pixels):
        part = pixels[stripe.slices]
        room[: part.size].reshape(part.shape)[:] = part
        yield len(part)


def _wait(coder: Child, seconds: float) -> None:
    if not coder.answers_within(seconds):
        raise OSError("the coder did not answer")


# In the child


def serve_coding(descriptor: int, shared_descriptor: int) -> None:
    """Code what comes down the pipe until it is closed: the main function of a child."""
    pipe = Connection(descriptor)
    room = np.frombuffer(mmap.mmap(shared_descriptor, _SHARED_BYTES), np.uint8)
    while True:
        try:
            # The file is in no variable: while the child waits it would take its room.
            _code_for(pipe, pipe.recv(), room)
        except EOFError:
            return


def _code_for(pipe: Connection, begin: _Begin, room: NDArray[np.uint8]) -> None:
    """Take the pixels of one file as they come, and answer with the file at last."""
    with closing(Coefficients(begin.data)) as file:
        coding = Coding(begin.colours)
        if 0 not in begin.sample:
            with closing(PixelCoder(file, begin.sample, coding)) as coder:
                _take(pipe, coder, begin.sample, room)
                coding = Coding(begin.colours, coder.complete_tables())
        if 0 in begin.shape:
            file.read_blocks()
        elif begin.units.are_all:
            with closing(PixelCoder(file, begin.shape, coding)) as coder:
                _take(pipe, coder, begin.shape, room)
                pipe.send_bytes(coder.coded())
            return
        else:
            with closing(PixelCoder(file, begin.shape, coding, keeps_blocks=True)) as coder:
                _take(pipe, coder, begin.shape, room)
                file.read_blocks()
                _replace(file, coder, begin.units)
        pipe.send_bytes(file.coded(coding))


def _take(
    pipe: Connection, coder: PixelCoder, shape: tuple[int, ...], room: NDArray[np.uint8]
) -> None:
    """Take all rows of a picture of this shape."""
    height, *row = shape
    while height:
        count = pipe.recv()
        coder.add(room[: count * math.prod(row)].reshape(count, *row))
        pipe.send(None)
        height -= count


def _replace(file: Coefficients, coder: PixelCoder, units: NewUnits) -> None:
    """Exchange the blocks of the units that are new."""
    for component, (across, down) in enumerate(file.frame.blocks_in_unit):
        wanted = units.wanted.repeat(down, axis=0).repeat(across, axis=1)
        top = units.top * down
        left = units.left * across
        blocks = file.blocks(component)[top : top + len(wanted), left : left + wanted.shape[1]]
        # The last units have blocks beyond the picture, which only fill them up.
        rows, columns = blocks.shape[:2]
        inside = wanted[:rows, :columns]
        new = coder.blocks(component)[:rows, :columns]
        if inside.all():
            blocks[:] = new
        else:
            blocks[inside] = new[inside]
        file.let_go()
