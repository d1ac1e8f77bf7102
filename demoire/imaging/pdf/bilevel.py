"""A black and white picture of a PDF as a PNG file of 1 bit. Runs in the child.

Nothing is put back, so the picture need not keep its coding. PDFium decodes it, whatever packs it
(JBIG2, CCITT, deflate and the like) and whatever says which bit is black (BlackIs1, Decode, a
palette of black and white, a stencil mask). To that end it gets a PDF with this picture alone.

Of a damaged stream PDFium gives as much as it can read, and white for the rest, without a word. So
it is looked at here whether there is more of the stream than came out, or less of it than there
should be (`jbig2`, `demoire.imaging.codecs.fax`).

Costs: 10 to 15 ms of core time a megapixel, 20 to 25 for a fax.
"""

import io
from typing import Any

import numpy as np
import pikepdf
from numpy.typing import NDArray

from demoire.errors import ImageError
from demoire.imaging.codecs.fax import group_3_is_cut_short, group_4_is_cut_short
from demoire.imaging.pdf.jbig2 import damage_in, is_more_than_blank
from demoire.imaging.pdf.obstacles import (
    FAX_FILTER,
    JBIG2_FILTER,
    filters_of,
    is_inverted,
    is_stream,
    last_parameters,
)
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

    _check_segments(stream)
    samples = _decoded(_alone(stream))
    if samples.shape[:2] != (picture.height, picture.width):
        raise spoilt("its stream is a black and white picture of another size")
    grey = _one_channel(samples)
    _check_is_all(stream, grey == _WHITE)
    options = {}
    if picture.dpi is not None and picture.dpi_along is not None:
        options["dpi"] = (picture.dpi, picture.dpi_along)
    out = io.BytesIO()
    Image.fromarray(grey == _WHITE).save(out, "PNG", compress_level=1, **options)
    return out.getvalue()


def _check_segments(stream: Any) -> None:
    """Refuse a stream of JBIG2 whose segments cannot be right."""
    if filters_of(stream) != [JBIG2_FILTER]:
        return
    parameters: Any = last_parameters(stream) or {}
    shared = parameters.get("/JBIG2Globals")
    damage = damage_in(stream.read_raw_bytes(), shared.read_bytes() if is_stream(shared) else b"")
    if damage is not None:
        raise spoilt(f"its stream of JBIG2 is damaged: {damage}")


def _check_is_all(stream: Any, is_white: NDArray[np.bool_]) -> None:
    """Refuse a stream of which more, or less, should have come out than these bits."""
    filters = filters_of(stream)
    is_blank_jbig2 = filters == [JBIG2_FILTER] and bool(is_white.all())
    if is_blank_jbig2 and is_more_than_blank(stream.read_raw_bytes(), *is_white.shape):
        raise spoilt("its stream of JBIG2 is damaged: nothing comes out of it")
    if filters != [FAX_FILTER]:
        return
    if _fax_is_cut_short(stream, is_white):
        raise spoilt("its fax is cut short")


def _fax_is_cut_short(stream: Any, is_white: NDArray[np.bool_]) -> bool:
    parameters: Any = last_parameters(stream) or {}
    data = stream.read_raw_bytes()
    if parameters.get("/K", 0) >= 0:
        return group_3_is_cut_short(data, len(is_white))
    has_palette = isinstance(stream.get("/ColorSpace"), pikepdf.Array)
    samples = is_white ^ is_inverted(stream)
    is_black = samples if parameters.get("/BlackIs1") else ~samples
    return not has_palette and group_4_is_cut_short(data, is_black)


def _alone(stream: Any) -> bytes:
    """A PDF of one page that draws this picture."""
    width, height = stream.Width, stream.Height
    with pikepdf.new() as pdf:
        picture = pdf.copy_foreign(stream)
        for key in _BESIDE_IT:
            if key in picture:
                del picture[key]
        if "/ImageMask" in picture:
            # A stencil mask paints where a picture of these bits would be black.
            del picture["/ImageMask"]
            picture.ColorSpace = pikepdf.Name.DeviceGray
            picture.BitsPerComponent = 1
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
