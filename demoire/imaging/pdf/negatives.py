"""JPEG pictures that a PDF reads as negatives: Decode is [1 0] for each channel. Runs in the child.

The networks have to see what readers show. The negative of a JPEG picture has the same coefficients
with the other sign. So it is made, and taken back, without coding anything anew, and blocks that
nobody changes keep their very coefficients. Readers make 255 - v of a sample v, this makes 256 - v;
it is taken back all the same, so that nothing moves.

Coefficients take Huffman codes of the same lengths whatever their signs. A file has codes that are
optimal, and so has its negative, or a code for everything, and then the negative has the same ones.
So the negative of the negative of a file that we have coded is the same file, to the byte.

Costs: the picture is decoded once, since libjpeg only takes coefficients of what is sound.

References:
    ITU-T T.81 (ISO/IEC 10918-1), B.2.4.2 for Huffman tables in a file.
"""

from contextlib import closing

import numpy as np

from demoire.errors import ImageError
from demoire.imaging.codecs.jpeg_blocks import can_be_recoded, colours_of
from demoire.imaging.codecs.jpeg_parts import (
    APP_OR_COM,
    EOI,
    SOI,
    JpegParts,
    lean_file,
    take_apart,
)
from demoire.imaging.codecs.jpeg_tables import LONGEST, HuffmanTable
from demoire.imaging.codecs.libjpeg_blocks import Coefficients
from demoire.imaging.codecs.libjpeg_target import Coding, Tables
from demoire.reasons import Reason

_HUFFMAN_TABLES = 0xC4
_OF_REST = 0x10  # from here on the first byte of a table is of one that is not of means
_NO_TABLE = HuffmanTable((0,) * LONGEST, b"")


def negative_of(data: bytes) -> bytes:
    """The negative of a JPEG file that can be decoded; twice, it is the same picture again.

    Raises:
        ImageError: It is coded in a way that has no such negative.
    """
    parts = take_apart(data)
    if not can_be_recoded(parts):
        raise ImageError(
            Reason.MODE_NOT_CLEANED,
            "The picture is a negative, coded in a way that is not cleaned.",
        )
    with closing(Coefficients(lean_file(parts))) as file:
        file.read_blocks()
        for component in range(parts.frame.components):
            blocks = file.blocks(component)
            np.negative(blocks, out=blocks)
        coded = take_apart(file.coded(Coding(colours_of(parts), _tables_of(parts))))
    kept = [segment for marker, segment in parts.segments if marker in APP_OR_COM]
    coding = [segment for marker, segment in coded.segments if marker not in APP_OR_COM]
    return b"".join((SOI, *kept, *coding, coded.scans, EOI, parts.trailer))


def positive_of(data: bytes) -> bytes:
    """What a JPEG file that is a negative shows; the file itself where it cannot be decoded.

    Whoever decodes it then says what is wrong with it.

    Raises:
        ImageError: As for `negative_of`.
    """
    # Only now: all codecs are too much for the many files that hold no negative.
    from demoire.imaging.images import decode

    try:
        decode(data)
    except ImageError:
        return data
    return negative_of(data)


def _tables_of(parts: JpegParts) -> Tables | None:
    """The Huffman tables of a file; None where they lack codes.

    A segment holds several: a byte of kind and number, how many codes there are of each length, and
    what they stand for.
    """
    tables: dict[int, HuffmanTable] = {}
    for marker, segment in parts.segments:
        payload = segment[4:] if marker == _HUFFMAN_TABLES else b""
        while payload:
            counts = payload[1 : 1 + LONGEST]
            end = 1 + LONGEST + sum(counts)
            tables[payload[0]] = HuffmanTable(tuple(counts), payload[1 + LONGEST : end])
            payload = payload[end:]
    for kind, table in tables.items():
        if table.completed(is_of_means=kind < _OF_REST) != table:
            return None
    of_means = []
    of_rest = []
    for number in (0, 1):  # all that libjpeg uses; of one that is not there nothing is made
        of_means.append(tables.get(number, _NO_TABLE).completed(is_of_means=True))
        of_rest.append(tables.get(_OF_REST + number, _NO_TABLE).completed(is_of_means=False))
    return Tables(tuple(of_means), tuple(of_rest))
