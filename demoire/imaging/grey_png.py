"""A grey picture as a PNG file, with resolution and orientation of the file that it was made of."""

import io
import math

from PIL import Image

from demoire.imaging.codecs import png
from demoire.imaging.codecs.base import Header
from demoire.imaging.codecs.pillow import PillowHeader
from demoire.imaging.codecs.pillow_pixels import to_image
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.provenance import Provenance

_ORIENTATION = 274
_UPRIGHT = 1


def grey_png(pixels: Pixels, origin: Header, note: Provenance | None = None) -> bytes:
    """The file.

    Args:
        pixels: (H, W, 1) uint8, as `origin` stores them: not turned upright.
        origin: The header of the file that they were made of, before it was decoded or after.
        note: What is written into its XMP; None for nothing.
    """
    exif = Image.Exif()
    options = {}
    if isinstance(origin, PillowHeader):
        dpi = _resolution(origin)
        if dpi is not None:
            options["dpi"] = dpi
        orientation = origin.view.getexif().get(_ORIENTATION, _UPRIGHT)
        if orientation != _UPRIGHT:
            exif[_ORIENTATION] = orientation
    out = io.BytesIO()
    to_image(pixels).save(out, "PNG", exif=exif, **options)
    data = out.getvalue()
    return data if note is None else bytes(png.with_xmp(data, note.written_into))


def _resolution(origin: PillowHeader) -> tuple[float, float] | None:
    """Pixels an inch across and down, which differ in a fax."""
    try:
        across, down = (float(number) for number in origin.view.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    is_sound = math.isfinite(across) and math.isfinite(down) and min(across, down) > 0
    return (across, down) if is_sound else None
