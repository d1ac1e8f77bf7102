"""Which pictures of a PDF are left as they are, by what their dictionaries say. Runs in the child.

References:
    ISO 32000-1:2008: image dictionaries in 8.9.5 (table 89), Decode arrays in 8.9.5.2, colour
    spaces in 8.6, masks in 8.9.6, soft masks in 11.6.5.3, filters in 7.4.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pikepdf

from demoire.reasons import Reason

_SMALLEST_SIDE = 64  # px
JBIG2_FILTER = "/JBIG2Decode"
FAX_FILTER = "/CCITTFaxDecode"
_BILEVEL_FILTERS = (FAX_FILTER, JBIG2_FILTER)
SAMPLE_FILTERS = ("/FlateDecode", "/LZWDecode", "/RunLengthDecode")
TEXT_FILTERS = ("/ASCII85Decode", "/ASCIIHexDecode")
JPEG_FILTER = "/DCTDecode"
JPEG_2000_FILTER = "/JPXDecode"
_CLEANED_DEPTHS = (8, 16)
INKS = 4  # channels of CMYK
_MULTIPLIED = 2  # the colours of a JPEG 2000 picture by its alpha
_CHANNELS = {
    "/DeviceGray": 1,
    "/CalGray": 1,
    "/DeviceRGB": 3,
    "/CalRGB": 3,
    "/DeviceCMYK": 4,
}


class WrongTypeError(ValueError):
    """An entry of an object is not of the type that the format says. The file is damaged."""


@dataclass(frozen=True)
class Colours:
    """A colour space whose samples are those of a picture file.

    Attributes:
        channels: 1 for grey, 3 for RGB, 4 for CMYK.
        profile: The stream of its ICC profile, if it has one.
    """

    channels: int
    profile: Any = None


def is_stream(thing: Any) -> bool:
    """Whether an object is a stream."""
    return isinstance(thing, pikepdf.Stream)


def whole_number(dictionary: Any, key: str, default: int = 0) -> int:
    """An entry that is a whole number, or the default where it is missing.

    Raises:
        WrongTypeError: It is something else.
    """
    number = dictionary.get(key, default)
    if not isinstance(number, int | Decimal) or number != int(number):
        raise WrongTypeError(f"{key} is no whole number")
    return int(number)


def filters_of(stream: Any) -> list[str]:
    """The filters of a stream, in the order in which they are undone."""
    filters = stream.get("/Filter")
    if filters is None:
        return []
    if isinstance(filters, pikepdf.Array):
        return [str(one) for one in filters]
    return [str(filters)]


def last_parameters(stream: Any) -> Any:
    """The parameters of a stream's last filter, a dictionary; None if there are none."""
    parameters = stream.get("/DecodeParms")
    if isinstance(parameters, pikepdf.Array):
        filters = filters_of(stream)
        parameters = parameters[-1] if len(parameters) == len(filters) else None
    return parameters if isinstance(parameters, pikepdf.Dictionary) else None


def colours_of(space: Any) -> Colours | Reason:
    """What the samples of a colour space are, or why they are not cleaned."""
    if not isinstance(space, pikepdf.Array):
        channels = _CHANNELS.get(str(space))
        return Reason.MODE_NOT_CLEANED if channels is None else Colours(channels)
    family = str(space[0]) if len(space) else ""
    if family == "/Indexed":
        return Reason.PALETTE
    if family == "/ICCBased" and len(space) > 1 and is_stream(space[1]):
        profiled = Colours(whole_number(space[1], "/N"), space[1])
        return profiled if profiled.channels in (1, 3, 4) else Reason.MODE_NOT_CLEANED
    channels = _CHANNELS.get(family)
    return Reason.MODE_NOT_CLEANED if channels is None else Colours(channels)


def obstacle_of(stream: Any) -> Reason | None:
    """Why a picture is left as it is, as far as its dictionary tells."""
    if is_bilevel(stream):
        return Reason.BILEVEL
    if is_too_small(stream):
        return Reason.SMALL_PICTURE
    return obstacle_of_coding(stream)


def obstacle_of_coding(stream: Any) -> Reason | None:
    """Why a picture of any size cannot be carved out and put back, or None."""
    filters = filters_of(stream)
    if not _can_be_unpacked(filters) or "/F" in stream:
        return Reason.MODE_NOT_CLEANED
    if "/Alternates" in stream:
        return Reason.STALE_DATA
    if _masks_by_colour(stream):
        return Reason.MODE_NOT_CLEANED
    return _obstacle_of_samples(stream, filters)


def is_too_small(stream: Any) -> bool:
    """Whether a picture is an icon or a rule, which hold too little to judge."""
    return min(whole_number(stream, "/Width"), whole_number(stream, "/Height")) < _SMALLEST_SIDE


def is_bilevel(stream: Any) -> bool:
    """Whether a picture is black or white and nothing between; a stencil mask is."""
    filters = filters_of(stream)
    is_faxed = bool(filters) and filters[-1] in _BILEVEL_FILTERS
    is_mask = bool(stream.get("/ImageMask"))
    return is_faxed or is_mask or stream.get("/BitsPerComponent") == 1


def is_cut_out(stream: Any) -> bool:
    """Whether a bilevel mask says where a picture is seen, as it does of a foreground of text."""
    mask = stream.get("/Mask")
    soft_mask = stream.get("/SMask")
    return is_stream(mask) or (is_stream(soft_mask) and is_bilevel(soft_mask))


def masks_of(stream: Any) -> list[Any]:
    """The streams that say where a picture is seen, and how much."""
    return [mask for mask in (stream.get("/SMask"), stream.get("/Mask")) if is_stream(mask)]


def _can_be_unpacked(filters: list[str]) -> bool:
    known = (*SAMPLE_FILTERS, *TEXT_FILTERS)
    for name in filters[:-1]:
        if name not in known:
            return False
    return not filters or filters[-1] in (*known, JPEG_FILTER, JPEG_2000_FILTER)


def _masks_by_colour(stream: Any) -> bool:
    """Whether a change of pixels would change what can be seen through the picture.

    Colours of a colour key are transparent. Those of a picture with a matte were mixed with it.
    """
    soft_mask = stream.get("/SMask")
    has_matte = is_stream(soft_mask) and "/Matte" in soft_mask
    return has_matte or isinstance(stream.get("/Mask"), pikepdf.Array)


def _obstacle_of_samples(stream: Any, filters: list[str]) -> Reason | None:
    is_jpeg_2000 = bool(filters) and filters[-1] == JPEG_2000_FILTER
    space = stream.get("/ColorSpace")
    if space is None and is_jpeg_2000:
        channels = None
    else:
        colours = colours_of(space)
        if isinstance(colours, Reason):
            return colours
        channels = colours.channels
    if not is_jpeg_2000 and stream.get("/BitsPerComponent", 8) not in _CLEANED_DEPTHS:
        return Reason.MODE_NOT_CLEANED
    if channels == INKS and is_jpeg_2000:
        return Reason.MODE_NOT_CLEANED
    if stream.get("/SMaskInData") == _MULTIPLIED:
        return Reason.MODE_NOT_CLEANED
    decode = _decode(stream)
    is_usual = decode == [] or decode == [0, 1] * (len(decode) // 2)
    # Plain samples are turned over on their way, and so is JPEG (`negatives`); see `jpx` for
    # JPEG 2000.
    return None if is_usual or is_inverted(stream) else Reason.MODE_NOT_CLEANED


def is_inverted(stream: Any) -> bool:
    """Whether the greatest sample stands for the least of a colour, as in Adobe's CMYK."""
    decode = _decode(stream)
    return decode != [] and decode == [1, 0] * (len(decode) // 2)


def _decode(stream: Any) -> list[float]:
    decode = stream.get("/Decode")
    if decode is None:
        return []
    if not isinstance(decode, pikepdf.Array):
        raise WrongTypeError("/Decode is no array")
    numbers: list[float] = []
    for number in decode:
        if not isinstance(number, int | Decimal):
            raise WrongTypeError("/Decode holds what is no number")
        numbers.append(float(number))
    return numbers
