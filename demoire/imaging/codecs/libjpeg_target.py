"""A JPEG file that libjpeg writes: its Huffman codes and the order of its scans.

References:
    libjpeg.txt of the Independent JPEG Group, "Special features"; jpeglib.h of libjpeg-turbo for
    the offsets of fields.
"""

import ctypes
from dataclasses import dataclass
from enum import IntEnum

from demoire.imaging.codecs.jpeg_tables import LONGEST, HuffmanTable
from demoire.imaging.codecs.libjpeg import Structure
from demoire.imaging.codecs.libjpeg_memory import BlockMemory, pointer_at

# Offsets in the structure of compression: of pointers to Huffman tables for means and for all else,
# of how many scans there are, and eight bytes on of a pointer to what each of them holds.
_OF_MEANS_AT = 128
_OF_REST_AT = 160
_SCANS_AT = 240
_OPTIMISE_AT = 264
_TABLES = 2  # of each kind that libjpeg uses, of four


class Colours(IntEnum):
    """What the components of a file are, by libjpeg's numbers."""

    GREY = 1
    RGB = 2
    YCBCR = 3
    CMYK = 4
    YCCK = 5


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


class Target:
    """A JPEG file that libjpeg writes into memory."""

    def __init__(
        self, source: Structure, memory: BlockMemory, coding: Coding, *, is_progressive: bool
    ) -> None:
        """Begin a file like another one.

        Args:
            source: The other one, whose header is read.
            memory: Where the blocks are to lie.
            coding: How the file is coded.
            is_progressive: Whether it has the scans of a progressive file.
        """
        self.structure = Structure.for_writing()
        self._library = self.structure.library
        self._out = ctypes.c_void_p()
        self._size = ctypes.c_ulong()
        library = self._library
        content = self.structure.content
        memory.serve(self.structure)
        library.jpeg_mem_dest(content, ctypes.byref(self._out), ctypes.byref(self._size))
        library.jpeg_copy_critical_parameters(source.content, content)
        if is_progressive:
            library.jpeg_simple_progression(content)
        if coding.tables is None or is_progressive:
            self.structure.set(_OPTIMISE_AT, 1)
        else:
            self._put(coding.tables)

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
        self.structure.set(_SCANS_AT, components)
        script_at = ctypes.c_void_p.from_buffer(self.structure.content, _SCANS_AT + 8)
        script_at.value = ctypes.addressof(self._script)
        self.structure.set(_OPTIMISE_AT, 1)

    def finished(self) -> bytes:
        """The file, once everything is there; can be asked for once."""
        self._library.jpeg_finish_compress(self.structure.content)
        return ctypes.string_at(self._out, self._size.value)

    def close(self) -> None:
        """Give back what libjpeg holds, the file in its memory included."""
        self._library.jpeg_destroy_compress(self.structure.content)
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
        return pointer_at(self.structure.address + at + 8 * number)
