"""Whether the coded rows of a fax are all there: CCITT's groups 3 and 4.

PDFium and libtiff decode as many rows as there are, and say nothing; neither do other decoders at
hand. The rest is white then, or as the strip before.

- In group 3 a mark stands before or behind each row, which can be counted: nothing else looks like
  it.
- Group 4 has no marks, but a white row takes a bit. So a picture that was decoded from a part of
  its stream takes more bytes when it is coded anew than that part has.

Neither finds a row in which only some bits are wrong.

Costs: 5 ms of core time a megapixel.

References:
    ITU-T T.4 (2003): the end of a line in 4.1.2. ITU-T T.6 (1988): the coding in 2.2, the end of a
    facsimile block in 2.4.1.1.
"""

import io
import re

import numpy as np
from numpy.typing import NDArray

_END_OF_LINE = re.compile(b"\0{11,}\1")  # one byte a bit
_END = 3  # bytes of the mark at the end of group 4, which may be missing
_ROWS_PER_STRIP = 278  # a tag of TIFF
_STRIP_BYTES = 279


def group_3_is_cut_short(data: bytes, rows: int, *, least_bit_first: bool = False) -> bool:
    """Whether a stream of group 3 has fewer rows than its picture.

    A stream without marks between its rows, as PDF allows it, is never found to be.

    Args:
        data: The stream, of rows coded in one dimension or two.
        rows: How many the picture has.
        least_bit_first: Whether the first bit of a byte is its least significant one.
    """
    bits = np.unpackbits(
        np.frombuffer(data, np.uint8), bitorder="little" if least_bit_first else "big"
    )
    marks = len(_END_OF_LINE.findall(bits.tobytes()))
    return 0 < marks < rows


def group_4_is_cut_short(
    data: bytes, is_black: NDArray[np.bool_], before: NDArray[np.bool_] | None = None
) -> bool:
    """Whether a stream of group 4 ends before the picture does.

    A loss of fewer than some 30 rows may not show.

    Args:
        data: The stream.
        is_black: (H, W), what it was decoded to: black as the coding has it, whatever that stands
            for in the picture.
        before: (W,), the row in the place of the last one in the strip before, if there is one.
    """
    last = is_black[-1]
    is_filled_up = bool((last == last[0]).all())
    if before is not None:
        is_filled_up = is_filled_up or np.array_equal(last, before)
    return is_filled_up and len(data) < _bytes_of(is_black) - _END


def _bytes_of(is_black: NDArray[np.bool_]) -> int:
    """How many bytes a picture takes in one strip of group 4."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(is_black).save(
        out, "TIFF", compression="group4", tiffinfo={_ROWS_PER_STRIP: is_black.shape[0]}
    )
    with Image.open(out) as file:
        lengths: tuple[int, ...] = file.tag_v2[_STRIP_BYTES]  # type: ignore[attr-defined]
    return sum(lengths)
