"""Whether a JBIG2 stream in a PDF is all there. Runs in the child.

PDFium decodes as much of it as there is, and says nothing. So the headers of its segments are
walked here: each tells how many bytes of data follow.

References:
    ITU-T T.88 (2000): segment headers in 7.2. ISO 32000-1:2008: JBIG2 in 7.4.7.
"""

import struct

_PAGE_IS_LONG = 0x40  # bit of the flags: the number of the page takes 4 bytes
_LONG_COUNT = 7  # of the segments that one refers to: it takes 4 bytes, and a bit for each
_UNKNOWN_LENGTH = 0xFFFFFFFF  # of a region that goes on up to its own end mark


def is_cut_short(data: bytes) -> bool:
    """Whether the data of a segment goes on beyond the end of the stream.

    Stray bytes behind the last segment are none of them.
    """
    at = 0
    try:
        while at < len(data):
            number, flags, counts = struct.unpack_from(">IBB", data, at)
            at += 5
            references = counts >> 5
            if references == _LONG_COUNT:
                references = struct.unpack_from(">I", data, at)[0] & 0x1FFFFFFF
                at += 4 + (references + 8) // 8
            else:
                at += 1
            at += references * _reference_size(number)
            at += 4 if flags & _PAGE_IS_LONG else 1
            (length,) = struct.unpack_from(">I", data, at)
            if length == _UNKNOWN_LENGTH:
                return False
            at += 4 + length
    except struct.error:
        return False
    return at > len(data)


def _reference_size(number: int) -> int:
    """Bytes of the number of a segment that this one refers to."""
    if number <= 256:
        return 1
    return 2 if number <= 65536 else 4
