"""A black and white picture of a PDF as a PNG file of 1 bit. Runs in the child.

Nothing is put back, so the picture need not keep its coding. PDFium decodes it, whatever packs it
(JBIG2, CCITT, deflate and the like) and whatever says which bit is black (BlackIs1, Decode, a
palette of black and white). To that end it gets a PDF with this picture alone.

Of a damaged stream PDFium gives as much as it can read, and white for the rest. That will do: the
grey picture is only one beside the original, which stays as it is. Of JBIG2 that is cut short there
may be nothing at all, and a blank page would pass for it; so that is told (`jbig2`).

Costs: 10 to 15 ms of core time a megapixel.
"""

import io
from typing import Any

import numpy as np
import pikepdf
from numpy.typing import NDArray

from demoire.errors import ImageError
from demoire.imaging.pdf.jbig2 import is_cut_short
from demoire.imaging.pdf.obstacles import JBIG2_FILTER, filters_of
from demoire.imaging.pdf.picture import PdfPicture
from demoire.imaging.pdf.stream_parts import spoilt
from demoire.reasons import Reason

_WHITE = 255
# What else a picture may draw along; PDFium would blend it in.
_BESIDE_IT = ("/SMask", "/Mask", "/Alternates", "/OC")


def bilevel_file(stream: Any, picture: PdfPicture) -> bytes:
    """A PNG file of a black and white picture, with the resolution that it has on its page.

    Args:
        stream: Its object.
        picture: What is known of it.

    Raises:
        ImageError: `decode_failed`, or `mode_not_cleaned` where its two colours are others than
            black and white.
    """
    # Only now: most files hold no such picture, or nobody wants it.
    from PIL import Image

    if filters_of(stream) == [JBIG2_FILTER] and is_cut_short(stream.read_raw_bytes()):
        raise spoilt("its stream of JBIG2 is cut short")
    samples = _decoded(_alone(stream))
    if samples.shape[:2] != (picture.height, picture.width):
        raise spoilt("its stream is a black and white picture of another size")
    grey = _one_channel(samples)
    options = {}
    if picture.dpi is not None and picture.dpi_along is not None:
        options["dpi"] = (picture.dpi, picture.dpi_along)
    out = io.BytesIO()
    Image.fromarray(grey == _WHITE).save(out, "PNG", compress_level=1, **options)
    return out.getvalue()


def _alone(stream: Any) -> bytes:
    """A PDF of one page that draws this picture."""
    width, height = stream.Width, stream.Height
    with pikepdf.new() as pdf:
        picture = pdf.copy_foreign(stream)
        for key in _BESIDE_IT:
            if key in picture:
                del picture[key]
        page = pdf.add_blank_page(page_size=(100, 100))
        page.obj.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im=picture))
        page.obj.Contents = pdf.make_stream(b"%d 0 0 %d 0 0 cm /Im Do" % (width, height))
        out = io.BytesIO()
        pdf.save(out)
    return out.getvalue()


def _decoded(pdf: bytes) -> NDArray[np.uint8]:
    """The samples of the only picture: (H, W) grey or (H, W, 3)."""
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(pdf) as document:
            picture = next(iter(document[0].get_objects()))
            samples: NDArray[np.uint8] = picture.get_bitmap(render=False).to_numpy().copy()
    except (pypdfium2.PdfiumError, StopIteration) as error:
        raise spoilt("PDFium cannot decode it") from error
    return samples


def _one_channel(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The grey samples, (H, W); PDFium gives three equal channels of some pictures."""
    grey = samples if samples.ndim == 2 else samples[:, :, 0]
    is_grey = samples.ndim == 2 or bool((samples == grey[:, :, None]).all())
    if not is_grey or not ((grey == 0) | (grey == _WHITE)).all():
        raise ImageError(
            Reason.MODE_NOT_CLEANED, "The picture's two colours are not black and white."
        )
    return grey
