"""The tables of a JPEG file: its quantisation tables, and Huffman codes for what it may hold.

Optimal Huffman codes need every coefficient counted before the first one is written, which takes as
long as all else in coding. Codes that are optimal for some rows of the picture make a file that is
hardly larger. What does not occur in these rows may do so in others, and gets a long code.

References:
    ITU-T T.81 (ISO/IEC 10918-1), B.2.4.1 for quantisation tables, F.1.2 for the symbols of Huffman
    codes, C.2 for the order of codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from demoire.imaging.codecs.jpeg_parts import JpegParts

QUANTISATION_TABLES = 0xDB
LONGEST = 16  # bits of a code
_MOST = (1 << LONGEST) - 1  # codes of this length; that of ones alone stands for nothing


@dataclass(frozen=True)
class HuffmanTable:
    """The codes of some symbols.

    Attributes:
        counts: How many codes there are of each length, from 1 to 16 bits.
        symbols: What they stand for, from the shortest code on.
    """

    counts: tuple[int, ...]
    symbols: bytes

    def completed(self, *, is_of_means: bool) -> "HuffmanTable":
        """The same with a code for every symbol of an 8-bit picture.

        Symbols without a code get one of 16 bits. Where there is no room for it, the longest of the
        others become longer.

        Args:
            is_of_means: Whether the codes are for the means of blocks (DC), not for all else (AC).
        """
        lengths = self._lengths()
        for symbol in _SYMBOLS_OF_MEANS if is_of_means else _SYMBOLS_OF_REST:
            lengths.setdefault(symbol, LONGEST)
        taken = sum(1 << (LONGEST - length) for length in lengths.values())
        while taken > _MOST:
            can_grow = [symbol for symbol, length in lengths.items() if length < LONGEST]
            longest = max(can_grow, key=lambda symbol: lengths[symbol])
            lengths[longest] += 1
            taken -= 1 << (LONGEST - lengths[longest])
        shortest_first = sorted(lengths, key=lambda symbol: lengths[symbol])
        counts = [0] * LONGEST
        for length in lengths.values():
            counts[length - 1] += 1
        return HuffmanTable(tuple(counts), bytes(shortest_first))

    def _lengths(self) -> dict[int, int]:
        """The length of each symbol's code, bits."""
        lengths = {}
        symbols = iter(self.symbols)
        for length, count in enumerate(self.counts, start=1):
            for _ in range(count):
                lengths[next(symbols)] = length
        return lengths


def _symbols_of_rest() -> Iterator[int]:
    """How many zeros come before a coefficient, 4 bits, and how many bits it has; 4 bits."""
    yield 0x00  # the rest of the block is zeros
    yield 0xF0  # sixteen zeros
    for zeros in range(16):
        for size in range(1, 11):
            yield 16 * zeros + size


_SYMBOLS_OF_MEANS = tuple(range(12))  # how many bits a difference has
_SYMBOLS_OF_REST = tuple(_symbols_of_rest())


def quantisation_table_numbers(parts: JpegParts) -> frozenset[int]:
    """The numbers of the quantisation tables that come before the first scan.

    A segment holds several: 4 bits of precision (0 for bytes, 1 for 16 bits) and 4 of the number,
    then 64 entries.
    """
    numbers = set()
    for marker, segment in parts.segments:
        if marker != QUANTISATION_TABLES:
            continue
        payload = segment[4:]
        while payload:
            precision, number = divmod(payload[0], 16)
            numbers.add(number)
            payload = payload[1 + 64 * (1 + precision) :]
    return frozenset(numbers)
