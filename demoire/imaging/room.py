"""Room for pixels: in memory, or of large pictures in a temporary file that is mapped into it.

Anonymous memory is scarce, because the system cannot take it back. It can take back the pages of a
file once they are on disk, so a picture of any size can be worked on in stripes. The file has no
name and disappears with the last array in it. Its space is claimed at once, because a disk that
fills up later would kill the process. Where there is no space, the pixels stay in memory.

Code that walks through such pixels lets go of those it has passed. They stay in the system's cache
while there is memory to spare, but no longer count as this process's. How files lie there is told
in `demoire.file_bytes`.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from demoire.file_bytes import LARGE_BYTES, FileBytes, MappedFile, mapped_file
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels
from demoire.temporary_files import new_temporary_file

_COPIED = 1 << 18  # px at a time
_COMPARED = 1 << 14  # px at a time: a stripe that differs ends the look
_LET_GO = 1 << 23  # px after which they are let go


def is_large(pixels: Pixels) -> bool:
    """Whether a picture's pixels belong in a file, so that it is worked on piece by piece."""
    return pixels.nbytes >= LARGE_BYTES


def room_for(shape: tuple[int, ...], dtype: DTypeLike) -> Pixels:
    """A new array with undefined content, to be filled."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size < LARGE_BYTES:
        return np.empty(shape, dtype)
    try:
        with new_temporary_file() as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return mapped(os.dup(file.fileno()), shape, dtype)
    except OSError:
        return np.empty(shape, dtype)


def mapped(descriptor: int, shape: tuple[int, ...], dtype: DTypeLike) -> Pixels:
    """The array in a file, whose descriptor is closed with it.

    Raises:
        OSError: It cannot be mapped.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = mapped_file(descriptor, size, writable=True)
    pixels: Pixels = np.frombuffer(memory, dtype).reshape(shape)
    return pixels


def copy_of(pixels: Pixels) -> Pixels:
    """The same pixels in room of their own."""
    copy = room_for(pixels.shape, pixels.dtype)
    copy_into(copy, pixels)
    return copy


def copy_into(copy: Pixels, pixels: Pixels) -> None:
    """Copy pixels into an array of their shape."""
    height, width = pixels.shape[:2]
    rows = in_stripes(Box(0, 0, height, width), _COPIED, columns=width)
    for stripe in let_go_behind(rows, pixels, copy):
        copy[stripe.slices] = pixels[stripe.slices]


def are_equal(one: Pixels, other: Pixels) -> bool:
    """Whether two pictures of one shape are the same; one of the first pixels that differs ends
    the look.
    """
    height, width = one.shape[:2]
    rows = in_stripes(Box(0, 0, height, width), _COMPARED, columns=width)
    for stripe in let_go_behind(rows, one, other):
        if not np.array_equal(one[stripe.slices], other[stripe.slices]):
            return False
    return True


def contiguous(pixels: Pixels) -> Pixels:
    """The same pixels one behind the other; the same array if they are."""
    return pixels if pixels.flags.c_contiguous else copy_of(pixels)


def in_room(pixels: Pixels) -> Pixels:
    """The same pixels, one behind the other, in a file if they are large."""
    is_there = not is_large(pixels) or file_of(pixels) is not None
    return contiguous(pixels) if is_there else copy_of(pixels)


def file_of(held: Pixels | FileBytes) -> MappedFile | None:
    """The file that an array or a file's bytes lie in; None where they lie in memory alone."""
    base: Any = held
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, MappedFile) else None


def let_go(held: Pixels | FileBytes) -> None:
    """Give back the memory of what lies in a file and is not needed for a while.

    Its values stay; the next access reads them from the file.
    """
    file = file_of(held)
    if file is not None:
        file.let_go()


def let_go_behind(boxes: Iterable[Box], *held: Pixels | FileBytes) -> Iterator[Box]:
    """Yield the same boxes in order, letting go of what lies behind them from time to time.

    Args:
        boxes: Where the caller reads or writes pictures.
        held: These pictures, and the bytes of files that are read on the way; of any size. What
            lies in memory alone stays there.
    """
    files = [file for file in map(file_of, held) if file is not None]
    if not files:
        yield from boxes
        return
    seen = 0
    for box in boxes:
        yield box
        seen += box.height * box.width
        if seen >= _LET_GO:
            seen = 0
            for file in files:
                file.let_go()
