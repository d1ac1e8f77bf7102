"""Whether a stream of CCITT's group 4 is all there. Runs in the child.

PDFium decodes as many rows as there are, makes the rest white, and says nothing; neither do other
decoders at hand. But a white row takes a bit. So a picture that was decoded from a part of its
stream takes more bytes when it is coded anew than that part has.

Costs: 5 ms of core time a megapixel.

References:
    ITU-T T.6 (1988): the coding in 2.2, the end of a facsimile block in 2.4.1.1.
"""

import io

import numpy as np
from numpy.typing import NDArray

_END = 3  # bytes of the mark at the end, which may be missing
_ROWS_PER_STRIP = 278  # a tag of TIFF
_STRIP_BYTES = 279


def is_cut_short(data: bytes, is_black: NDArray[np.bool_]) -> bool:
    """Whether a stream ends before the picture does.

    A loss of fewer than some 30 rows may not show.

    Args:
        data: The stream.
        is_black: (H, W), what it was decoded to: black as the coding has it, whatever that stands
            for in the picture.
    """
    last = is_black[-1]
    has_plain_end = bool((last == last[0]).all())
    return has_plain_end and len(data) < _bytes_of(is_black) - _END


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
