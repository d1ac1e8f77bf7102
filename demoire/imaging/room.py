"""Room for pixels: in memory, or of large pictures in a temporary file that is mapped into it.

Anonymous memory is scarce, because the system cannot take it back. It can take back the pages of a
file once they are on disk, so a picture of any size can be worked on in stripes. The file has no
name and disappears with the last array in it. Its space is claimed at once, because a disk that
fills up later would kill the process. Where there is no space, the pixels stay in memory.

Code that walks through such pixels lets go of those it has passed. They stay in the system's cache
while there is memory to spare, but no longer count as this process's.
"""

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels

LARGE_BYTES = 96 << 20
"""Pixels of so many bytes and more go into a file: some 33 MP of RGB in 8 bits."""

_COPIED = 1 << 18  # px at a time
_LET_GO = 1 << 23  # px after which they are let go


class MappedFile(mmap.mmap):
    """A temporary file in memory.

    Attributes:
        descriptor: Of the file, open as long as this is there.
    """

    descriptor: int

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self.descriptor)


def is_large(pixels: Pixels) -> bool:
    """Whether a picture's pixels belong in a file, so that it is worked on piece by piece."""
    return pixels.nbytes >= LARGE_BYTES


def room_for(shape: tuple[int, ...], dtype: DTypeLike) -> Pixels:
    """A new array with undefined content, to be filled."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size < LARGE_BYTES:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="demoire-") as file:
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
    try:
        memory = MappedFile(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    memory.descriptor = descriptor
    pixels: Pixels = np.frombuffer(memory, dtype).reshape(shape)
    return pixels


def copy_of(pixels: Pixels) -> Pixels:
    """The same pixels in room of their own."""
    copy = room_for(pixels.shape, pixels.dtype)
    height, width = pixels.shape[:2]
    rows = in_stripes(Box(0, 0, height, width), _COPIED, columns=width)
    for stripe in let_go_behind(rows, pixels, copy):
        copy[stripe.slices] = pixels[stripe.slices]
    return copy


def file_of(pixels: Pixels) -> MappedFile | None:
    """The file that an array lies in; None where it lies in memory alone."""
    base: Any = pixels
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, MappedFile) else None


def let_go(pixels: Pixels) -> None:
    """Give back the memory of pixels that lie in a file and are not needed for a while.

    Their values stay; the next access reads them from the file.
    """
    file = file_of(pixels)
    if file is not None:
        file.madvise(mmap.MADV_DONTNEED)


def let_go_behind(boxes: Iterable[Box], *pictures: Pixels) -> Iterator[Box]:
    """Yield the same boxes in order, letting go of the pictures behind them from time to time.

    Args:
        boxes: Where the caller reads or writes the pictures.
        pictures: Of any size; those that lie in memory alone stay there.
    """
    if not any(is_large(picture) for picture in pictures):
        yield from boxes
        return
    seen = 0
    for box in boxes:
        yield box
        seen += box.height * box.width
        if seen >= _LET_GO:
            seen = 0
            for picture in pictures:
                let_go(picture)
