"""The coefficients of a JPEG file, read by libjpeg, made of pixels by it, and written again.

Reading takes 2 ms a megapixel on a core, coding pixels 3, and as much again where the Huffman
tables are to be optimal. Where coefficients are kept they are 2 bytes a sample, in arrays of ours
(`demoire.imaging.codecs.libjpeg_memory`).

References:
    libjpeg.txt of the Independent JPEG Group, "Advanced features", for the coefficients;
    jpeglib.h of libjpeg-turbo for the offsets of fields.
"""

import ctypes
from contextlib import closing

from demoire.imaging.codecs.jpeg_parts import PROGRESSIVE, Frame, take_apart
from demoire.imaging.codecs.libjpeg import LibjpegError, Structure
from demoire.imaging.codecs.libjpeg_memory import BlockMemory, Blocks, pointer_at, row_addresses
from demoire.imaging.codecs.libjpeg_target import Coding, Colours, Tables, Target
from demoire.imaging.codecs.raster import Pixels

# Offsets in the structure of decompression: of how many components there are, and of a pointer to
# what is known of them; the size of that, and the offset in it of the blocks in a row, which the
# rows of blocks follow.
_COMPONENTS_AT = 56
_COMPONENT_INFO_AT = 304
_COMPONENT = 96
_COLUMNS_AT = 28
# In the structure of compression: size, channels and colours of the pixels that come; colours of
# the components.
_WIDTH_AT = 48
_HEIGHT_AT = 52
_CHANNELS_AT = 56
_PIXELS_ARE_AT = 60
_COMPONENTS_ARE_AT = 80

# What the pixels are from which libjpeg makes these components.
_PIXELS = {Colours.YCBCR: Colours.RGB, Colours.YCCK: Colours.CMYK}


class Coefficients:
    """A JPEG file of which single blocks can be replaced."""

    def __init__(self, data: bytes) -> None:
        """Read the header of a file that can be decoded.

        Args:
            data: The file; up to the header of its first scan if no block of it is needed.

        Raises:
            LibjpegError: The library is another one.
        """
        self.frame = take_apart(data).frame
        self._data = data  # libjpeg reads from it
        self._source = Structure.for_reading()
        self._library = self._source.library
        self._memory = BlockMemory()
        self._memory.serve(self._source)
        self._library.jpeg_mem_src(self._source.content, data, len(data))
        self._library.jpeg_read_header(self._source.content, 1)
        shapes = tuple(self._shapes())
        if shapes != tuple(blocks_of(self.frame, i) for i in range(self.frame.components)):
            raise LibjpegError("libjpeg says other sizes than the file")

    def read_blocks(self) -> None:
        """Read the coefficients.

        Raises:
            LibjpegError: The library is another one.
        """
        self._arrays = self._library.jpeg_read_coefficients(self._source.content)
        if len(self._memory.arrays) != self.frame.components:
            raise LibjpegError("libjpeg has not asked for the memory of its blocks")

    def blocks(self, component: int) -> Blocks:
        """The blocks of a component that were read, to be changed in place."""
        rows, columns = blocks_of(self.frame, component)
        return self._memory.arrays[component][:rows, :columns]

    def let_go(self) -> None:
        """Give back the memory of blocks that lie in a file, and are not needed for a while."""
        self._memory.let_go()

    def coded(self, coding: Coding) -> bytes:
        """The file with its blocks as they are now, progressive if it was; no restart markers."""
        with closing(self.target(self._memory, coding)) as target:
            self._library.jpeg_write_coefficients(target.structure.content, self._arrays)
            return target.finished()

    def target(self, memory: BlockMemory, coding: Coding) -> Target:
        """Begin a file of the same size, quantisation and sampling, progressive if this one is."""
        is_progressive = self.frame.marker == PROGRESSIVE
        return Target(self._source, memory, coding, is_progressive=is_progressive)

    def close(self) -> None:
        """Give back what libjpeg holds of the file."""
        self._library.jpeg_destroy_decompress(self._source.content)

    def _shapes(self) -> "list[tuple[int, int]]":
        """Rows of blocks in each component, and blocks in a row, as libjpeg has them.

        Raises:
            LibjpegError: The number of components is not where it should be.
        """
        at = self._source.address
        count = ctypes.c_int.from_address(at + _COMPONENTS_AT).value
        if count != self.frame.components:
            raise LibjpegError("libjpeg says another number of components than the file")
        info = pointer_at(at + _COMPONENT_INFO_AT)
        shapes = []
        for number in range(count):
            sizes = (ctypes.c_uint * 2).from_address(info + number * _COMPONENT + _COLUMNS_AT)
            columns, rows = sizes
            shapes.append((rows, columns))
        return shapes


class PixelCoder:
    """Makes blocks of pixels, with the tables and the sampling of a file."""

    def __init__(
        self,
        file: Coefficients,
        shape: tuple[int, ...],
        coding: Coding,
        *,
        keeps_blocks: bool = False,
    ) -> None:
        """Begin a picture of this size, (height, width, channels).

        Args:
            file: The file that the blocks are for.
            shape: Of the pixels to come.
            coding: How the file is coded.
            keeps_blocks: Whether `blocks` will be asked for, and `coded` not.
        """
        self._memory = BlockMemory()
        self._target = file.target(self._memory, coding)
        structure = self._target.structure
        height, width, channels = shape
        structure.set(_HEIGHT_AT, height)
        structure.set(_WIDTH_AT, width)
        structure.set(_CHANNELS_AT, channels)
        structure.set(_PIXELS_ARE_AT, _PIXELS.get(coding.colours, coding.colours))
        structure.set(_COMPONENTS_ARE_AT, coding.colours)
        if keeps_blocks:
            self._target.only_make_blocks(file.frame.components)
        structure.library.jpeg_start_compress(structure.content, 1)

    def add(self, rows: Pixels) -> None:
        """Take the next rows of pixels, (rows, width, channels) uint8."""
        addresses = row_addresses(rows)
        structure = self._target.structure
        structure.library.jpeg_write_scanlines(
            structure.content, addresses.ctypes.data, len(addresses)
        )

    def blocks(self, component: int) -> Blocks:
        """The blocks of a component, once all rows are there; a few more than the picture has."""
        return self._memory.arrays[component]

    def coded(self) -> bytes:
        """A file of these pixels alone, once all rows are there; can be asked for once."""
        return self._target.finished()

    def complete_tables(self) -> Tables:
        """The Huffman tables that are optimal for these pixels, with a code for everything else."""
        self._target.finished()
        return self._target.complete_tables()

    def close(self) -> None:
        """Give back what libjpeg holds; `blocks` stay."""
        self._target.close()


def blocks_of(frame: Frame, component: int) -> tuple[int, int]:
    """Rows of blocks in a component, and blocks in a row, without the padding of the last unit."""
    height, width = frame.size
    factors = frame.factors
    most_across = max(across for across, _ in factors)
    most_down = max(down for _, down in factors)
    across, down = factors[component]
    return -(-height * down // (8 * most_down)), -(-width * across // (8 * most_across))
