"""What the streams of pictures have in common, however they are packed. Runs in the child."""

from typing import Any

import pikepdf

from demoire.errors import ImageError
from demoire.imaging.pdf.obstacles import Colours, colours_of
from demoire.reasons import Reason

_MOST_PROFILE = 4 << 20  # bytes
_PROFILED = {3: b"RGB ", 4: b"CMYK"}  # what a profile is of, by channels: its bytes 16 to 19


def unpacked(stream: Any) -> bytes:
    """All of a stream, by qpdf."""
    data: bytes = stream.read_bytes(pikepdf.StreamDecodeLevel.specialized)
    return data


def colours_in(stream: Any) -> Colours:
    """The colour space of a picture that has no obstacle."""
    colours = colours_of(stream.get("/ColorSpace"))
    if isinstance(colours, Reason):
        raise ImageError(colours, f"The picture is left as it is: {colours.meaning}.")
    return colours


def profile_of(colours: Colours) -> bytes | None:
    """The ICC profile of an RGB or CMYK picture; those of grey ones are of no use to the codecs.

    Raises:
        ImageError: It is a profile of something else with as many channels, such as Lab.
    """
    if colours.profile is None or colours.channels not in _PROFILED:
        return None
    profile = unpacked(colours.profile)
    if profile[16:20] != _PROFILED[colours.channels]:
        raise ImageError(Reason.MODE_NOT_CLEANED, "The picture's profile is one of other colours.")
    return profile if len(profile) <= _MOST_PROFILE else None


def spoilt(what: str) -> ImageError:
    """The error for a stream that is not what its dictionary says."""
    return ImageError(Reason.DECODE_FAILED, f"The picture cannot be taken out of the PDF: {what}.")
