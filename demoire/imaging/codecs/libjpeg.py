"""The coefficients of a JPEG file, read, made of pixels, and written by libjpeg itself.

No package gives access to coefficients without reading and coding twice, or codes pixels in any
sampling and with any tables. So libjpeg is called directly, in the library that Pillow brings with
it (libjpeg-turbo). Its functions are public. Of its structures only some fields are touched, at the
offsets that version 6.2 of the interface fixes.
libjpeg checks the version and the sizes of the structures that it is given, and this module checks
what it reads first against the file: another interface is refused, never misread.

Where libjpeg gives up it ends the process. So all of this belongs into a child process, and into
one thread of it; but for `check_interface`, which any process may ask before it begins.

Reading takes 2 ms a megapixel on a core, coding pixels 3, and as much again where the Huffman
tables are to be optimal. Where coefficients are kept they are 2 bytes a sample, in arrays of ours
(`demoire.imaging.codecs.libjpeg_memory`).

References:
    libjpeg.txt of the Independent JPEG Group, "Advanced features", for the coefficients;
    jpeglib.h of libjpeg-turbo for the structures.
"""

import ctypes
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from demoire.errors import MachineError
from demoire.imaging.codecs.jpeg_parts import PROGRESSIVE, Frame, take_apart
from demoire.imaging.codecs.jpeg_tables import LONGEST, HuffmanTable
from demoire.imaging.codecs.libjpeg_memory import BlockMemory, Blocks, pointer_at, row_addresses
from demoire.imaging.codecs.raster import Pixels

_VERSION = 62  # of the interface, as most systems and all of Pillow's own packages have it
# Sizes of structures in bytes, and offsets of fields in them, where pointers have 64 bits.
_ERROR_MANAGER = 168
_DECOMPRESS = 632
_COMPRESS = 520
_COMPONENT = 96
_COMPONENTS_AT = 56  # in decompress: how many components there are
_COMPONENT_INFO_AT = 304
_COLUMNS_AT = 28  # in a component: its blocks in a row, then its rows of blocks
# In compress: size, channels and colours of the pixels that come; colours of the components.
_WIDTH_AT = 48
_HEIGHT_AT = 52
_CHANNELS_AT = 56
_PIXELS_ARE_AT = 60
_COMPONENTS_ARE_AT = 80
# Pointers to Huffman tables, for the means of blocks and all else.
_OF_MEANS_AT = 128
_OF_REST_AT = 160
_TABLES = 2  # of each kind that libjpeg uses, of four
_SCANS_AT = 240  # how many there are, and eight bytes on a pointer to what each of them holds
_OPTIMISE_AT = 264

_LARGEST = 4096  # bytes: more than a structure takes in any version

# error_exit(cinfo), the first field of the error manager
_EXIT = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Colours(IntEnum):
    """What the components of a file are, by libjpeg's numbers."""

    GREY = 1
    RGB = 2
    YCBCR = 3
    CMYK = 4
    YCCK = 5


# What the pixels are from which libjpeg makes these components.
_PIXELS = {Colours.YCBCR: Colours.RGB, Colours.YCCK: Colours.CMYK}


@dataclass(frozen=True)
class Tables:
    """Huffman tables with a code for everything: of means and all else, each for up to two kinds
    of components.
    """

    of_means: tuple[HuffmanTable, ...]
    of_rest: tuple[HuffmanTable, ...]


@dataclass(frozen=True)
class Coding:
    """How a file is coded, beside what its header says.

    Attributes:
        colours: What its components are.
        tables: What to code with; None for optimal ones, as progressive files always have them.
    """

    colours: Colours
    tables: Tables | None = None


class LibjpegError(RuntimeError):
    """A library with another interface than this module knows."""


def check_interface() -> None:
    """Hold the library against what this module knows of it.

    Raises:
        MachineError: Pillow brings none, or one of another version.
    """
    try:
        fits = _fits(_library())
    except (AttributeError, OSError):  # built into Pillow, and not to be called from outside
        fits = False
    if not fits:
        raise MachineError(
            "Pillow has another libjpeg here than changed JPEG files are written with (interface "
            f"{_VERSION / 10}): install the Pillow of its own project (pip install "
            "--force-reinstall pillow), then run the same command again."
        )


def _fits(library: Any) -> bool:
    """Whether libjpeg takes the version and the sizes of our structures.

    It looks at them first of all. Where they are wrong it calls a function that should not return;
    this one does, and libjpeg goes on to a structure that has room for any version.
    """
    refusals: list[int] = []
    note_refusal = _EXIT(refusals.append)
    errors = ctypes.create_string_buffer(_LARGEST)
    structure = ctypes.create_string_buffer(_LARGEST)
    ctypes.c_void_p.from_buffer(structure).value = library.jpeg_std_error(errors)
    ctypes.c_void_p.from_buffer(errors).value = ctypes.cast(note_refusal, ctypes.c_void_p).value
    library.jpeg_CreateDecompress(structure, _VERSION, _DECOMPRESS)
    library.jpeg_destroy_decompress(structure)
    library.jpeg_CreateCompress(structure, _VERSION, _COMPRESS)
    library.jpeg_destroy_compress(structure)
    return not refusals


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
        self._library = _library()
        self._errors = ctypes.create_string_buffer(_ERROR_MANAGER)
        self.source = _structure(_DECOMPRESS, self._errors)
        self._memory = BlockMemory()
        library = self._library
        library.jpeg_CreateDecompress(self.source, _VERSION, _DECOMPRESS)
        self._memory.serve(self.source)
        library.jpeg_mem_src(self.source, data, len(data))
        library.jpeg_read_header(self.source, 1)
        shapes = tuple(self._shapes())
        if shapes != tuple(blocks_of(self.frame, i) for i in range(self.frame.components)):
            raise LibjpegError("libjpeg says other sizes than the file")

    @property
    def blocks_in_unit(self) -> list[tuple[int, int]]:
        """How many blocks of each component lie beside and below each other in a unit."""
        if self.frame.components == 1:
            return [(1, 1)]
        return self.frame.factors

    def read_blocks(self) -> None:
        """Read the coefficients.

        Raises:
            LibjpegError: The library is another one.
        """
        self._arrays = self._library.jpeg_read_coefficients(self.source)
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
        with closing(_Target(self, self._memory, coding)) as target:
            self._library.jpeg_write_coefficients(target.structure, self._arrays)
            return target.finished()

    def close(self) -> None:
        """Give back what libjpeg holds of the file."""
        self._library.jpeg_destroy_decompress(self.source)

    def _shapes(self) -> "list[tuple[int, int]]":
        """Rows of blocks in each component, and blocks in a row, as libjpeg has them.

        Raises:
            LibjpegError: The number of components is not where it should be.
        """
        at = ctypes.addressof(self.source)
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
        self._library = _library()
        self._memory = BlockMemory()
        self._target = _Target(file, self._memory, coding)
        height, width, channels = shape
        self._target.set(_HEIGHT_AT, height)
        self._target.set(_WIDTH_AT, width)
        self._target.set(_CHANNELS_AT, channels)
        self._target.set(_PIXELS_ARE_AT, _PIXELS.get(coding.colours, coding.colours))
        self._target.set(_COMPONENTS_ARE_AT, coding.colours)
        if keeps_blocks:
            self._target.only_make_blocks(len(file.frame.factors))
        self._library.jpeg_start_compress(self._target.structure, 1)

    def add(self, rows: Pixels) -> None:
        """Take the next rows of pixels, (rows, width, channels) uint8."""
        addresses = row_addresses(rows)
        self._library.jpeg_write_scanlines(
            self._target.structure, addresses.ctypes.data, len(addresses)
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


class _Target:
    """A JPEG file that libjpeg writes into memory."""

    def __init__(self, file: Coefficients, memory: BlockMemory, coding: Coding) -> None:
        """Begin a file like another one, whose blocks are to lie in this memory."""
        library = _library()
        self._library = library
        self._errors = ctypes.create_string_buffer(_ERROR_MANAGER)
        self.structure = _structure(_COMPRESS, self._errors)
        self._out = ctypes.c_void_p()
        self._size = ctypes.c_ulong()
        library.jpeg_CreateCompress(self.structure, _VERSION, _COMPRESS)
        memory.serve(self.structure)
        library.jpeg_mem_dest(self.structure, ctypes.byref(self._out), ctypes.byref(self._size))
        library.jpeg_copy_critical_parameters(file.source, self.structure)
        if file.frame.marker == PROGRESSIVE:
            library.jpeg_simple_progression(self.structure)
        elif coding.tables is not None:
            self._put(coding.tables)
            return
        self.set(_OPTIMISE_AT, 1)

    def set(self, at: int, value: int) -> None:
        """Set a field of the structure."""
        ctypes.c_int.from_buffer(self.structure, at).value = value

    def only_make_blocks(self, components: int) -> None:
        """Have libjpeg keep all blocks, and code nothing while they are made.

        With a scan for each component it looks only at those of the first scan while pixels come:
        the last component, which is colour in less detail as a rule. It looks at them to choose
        Huffman codes, and writes nothing before it has done so.
        """
        script: list[int] = []
        for number in range(components):
            # Components in the scan, their numbers (four), first and last coefficient, two for
            # progressive files.
            script += (1, components - 1 - number, 0, 0, 0, 0, 63, 0, 0)
        self._script = (ctypes.c_int * len(script))(*script)  # libjpeg reads from it
        self.set(_SCANS_AT, components)
        script_at = ctypes.c_void_p.from_buffer(self.structure, _SCANS_AT + 8)
        script_at.value = ctypes.addressof(self._script)
        self.set(_OPTIMISE_AT, 1)

    def finished(self) -> bytes:
        """The file, once everything is there; can be asked for once."""
        self._library.jpeg_finish_compress(self.structure)
        return ctypes.string_at(self._out, self._size.value)

    def close(self) -> None:
        """Give back what libjpeg holds, the file in its memory included."""
        self._library.jpeg_destroy_compress(self.structure)
        self._library.free(self._out)

    def complete_tables(self) -> Tables:
        """The Huffman tables of the file that was written, with a code for everything else."""
        of_means = []
        of_rest = []
        for number in range(_TABLES):
            of_means.append(self._table(_OF_MEANS_AT, number).completed(is_of_means=True))
            of_rest.append(self._table(_OF_REST_AT, number).completed(is_of_means=False))
        return Tables(tuple(of_means), tuple(of_rest))

    def _put(self, tables: Tables) -> None:
        """Have libjpeg code with these tables."""
        for number in range(_TABLES):
            for at, table in (
                (_OF_MEANS_AT, tables.of_means[number]),
                (_OF_REST_AT, tables.of_rest[number]),
            ):
                content = bytes((0, *table.counts)) + table.symbols
                ctypes.memmove(self._table_at(at, number), content, len(content))

    def _table(self, at: int, number: int) -> HuffmanTable:
        table_at = self._table_at(at, number)
        counts = ctypes.string_at(table_at + 1, LONGEST)
        symbols = ctypes.string_at(table_at + 1 + LONGEST, sum(counts))
        return HuffmanTable(tuple(counts), symbols)

    def _table_at(self, at: int, number: int) -> int:
        """Where a table is: a byte that is not used, counts of 16 lengths, and the symbols."""
        return pointer_at(ctypes.addressof(self.structure) + at + 8 * number)


def _structure(size: int, errors: "ctypes.Array[ctypes.c_char]") -> "ctypes.Array[ctypes.c_char]":
    """A structure of libjpeg's whose first field, the error manager, is set."""
    structure = ctypes.create_string_buffer(size)
    ctypes.c_void_p.from_buffer(structure).value = _library().jpeg_std_error(errors)
    return structure


def blocks_of(frame: Frame, component: int) -> tuple[int, int]:
    """Rows of blocks in a component, and blocks in a row, without the padding of the last unit."""
    height, width = frame.size
    factors = frame.factors
    most_across = max(across for across, _ in factors)
    most_down = max(down for _, down in factors)
    across, down = factors[component]
    return -(-height * down // (8 * most_down)), -(-width * across // (8 * most_across))


@cache
def _library() -> Any:
    """libjpeg as Pillow has loaded it, with the types of what is called."""
    from PIL import _imaging

    # Symbols of the libraries that Pillow's own one needs are found through it.
    library = ctypes.CDLL(_imaging.__file__)
    library.jpeg_std_error.restype = ctypes.c_void_p
    library.jpeg_read_coefficients.restype = ctypes.POINTER(ctypes.c_void_p)
    library.jpeg_destroy_decompress.argtypes = [ctypes.c_void_p]
    library.jpeg_destroy_compress.argtypes = [ctypes.c_void_p]
    size = ctypes.c_size_t
    library.jpeg_CreateDecompress.argtypes = [ctypes.c_void_p, ctypes.c_int, size]
    library.jpeg_CreateCompress.argtypes = [ctypes.c_void_p, ctypes.c_int, size]
    library.jpeg_mem_src.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong]
    library.jpeg_write_scanlines.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
    library.free.argtypes = [ctypes.c_void_p]
    return library
