"""A picture's stream as a picture file, and a cleaned file as a stream. Runs in the child.

Deflated samples with PNG's filters are the image data of a PNG file as they stand; other samples
are deflated again, fast, since the file is only to be decoded. The stream of a cleaned PNG file is
its image data. So no pixel is decoded here.

References:
    ISO 32000-1:2008: Flate and its predictors in 7.4.4, DCT in 7.4.8, JPX in 7.4.9.
"""

import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pikepdf

from demoire.errors import ImageError
from demoire.imaging.codecs.jpeg_parts import take_apart
from demoire.imaging.limits import PICTURE_BOMB_BYTES, PICTURE_BOMB_RATIO
from demoire.imaging.pdf.cleaned_file import (
    JPEG,
    PNG,
    adobe_segment,
    adobe_transform,
    has_profile,
    jpeg_2000_size,
    png_file,
    read_png,
    with_adobe_segment,
    with_profile,
    without_adobe_segment,
    without_profile,
)
from demoire.imaging.pdf.obstacles import (
    JPEG_2000_FILTER,
    JPEG_FILTER,
    Colours,
    colours_of,
    filters_of,
    is_inverted,
    last_parameters,
)
from demoire.imaging.pdf.requests import RenewedObject
from demoire.reasons import Reason

_FAST = 1  # level of deflate
_MOST_PROFILE = 4 << 20  # bytes
_PROFILED = {3: b"RGB ", 4: b"CMYK"}  # what a profile is of, by channels: its bytes 16 to 19
_YCCK = 2  # in an Adobe segment
_PNG_PREDICTORS = range(10, 16)
_PNG_OPTIMUM = 15  # each row says its own filter
_PIECE = 1 << 20  # bytes that are unpacked at a time


def carved(stream: Any) -> bytes:
    """A picture file of a stream that has no obstacle.

    Raises:
        ImageError: The stream is not what its dictionary says.
    """
    filters = filters_of(stream)
    if filters and filters[-1] in (JPEG_FILTER, JPEG_2000_FILTER):
        data = _packed(stream, filters)
        if filters[-1] == JPEG_FILTER:
            return _jpeg_file(stream, data)
        if jpeg_2000_size(data) != (stream.Height, stream.Width):
            raise _spoilt("its stream is no JPEG 2000 picture of its size")
        return data
    return _png_file(stream, filters)


def renewed_object(stream: Any, cleaned: bytes) -> RenewedObject:
    """The object of a picture whose carved file was cleaned.

    Raises:
        ImageError: `encode_failed`: the file is not one of this picture.
    """
    filters = filters_of(stream)
    dictionary = stream.stream_dict.copy()
    for key in ("/Length", "/DL"):
        if key in dictionary:
            del dictionary[key]
    if filters and filters[-1] == JPEG_FILTER:
        data = _jpeg_stream(stream, cleaned)
        _set_only_filter(dictionary, stream, filters)
    elif filters and filters[-1] == JPEG_2000_FILTER:
        if jpeg_2000_size(cleaned) != (stream.Height, stream.Width):
            raise _not_of_this_picture()
        data = cleaned
        _set_only_filter(dictionary, stream, filters)
    else:
        data = _png_stream(stream, cleaned, dictionary)
    dictionary["/Length"] = len(data)
    number, generation = stream.objgen
    return RenewedObject(number, generation, dictionary.unparse(), data)


# JPEG and JPEG 2000


def _packed(stream: Any, filters: list[str]) -> bytes:
    """A stream whose last filter is that of a picture file, with those before it undone."""
    raw: bytes = stream.read_raw_bytes()
    if len(filters) == 1:
        return raw
    with pikepdf.new() as scratch:
        outer = pikepdf.Stream(scratch, raw)
        outer["/Filter"] = pikepdf.Array([pikepdf.Name(name) for name in filters[:-1]])
        return _read(outer)


def _read(stream: Any) -> bytes:
    """All of a stream, by qpdf."""
    data: bytes = stream.read_bytes(pikepdf.StreamDecodeLevel.specialized)
    return data


def _jpeg_file(stream: Any, data: bytes) -> bytes:
    if not data.startswith(JPEG):
        raise _spoilt("its stream is no JPEG")
    colours = _colours(stream)
    with suppress(ValueError, StopIteration):  # the codec will tell what is wrong with it
        frame = take_apart(data).frame
        if frame.size != (stream.Height, stream.Width) or frame.components != colours.channels:
            raise _spoilt("its stream is a JPEG of another size or other colours")
    if colours.channels == 4:
        data = _with_inks_as_in_a_file(stream, data)
    elif colours.channels == 3 and adobe_segment(data) is None and _transform(stream) == 0:
        data = with_adobe_segment(data)  # else RGB would be read as YCbCr
    profile = _profile(colours)
    return data if profile is None else with_profile(data, profile)


def _with_inks_as_in_a_file(stream: Any, data: bytes) -> bytes:
    """CMYK as picture files have it: with an Adobe segment samples are inverted, without not.

    Raises:
        ImageError: It is YCCK that is not inverted, for which picture files have no way.
    """
    segment = adobe_segment(data)
    if segment is None and _transform(stream) in (None, 0):
        return with_adobe_segment(data) if is_inverted(stream) else data
    if segment is not None and is_inverted(stream):
        return data
    if segment is not None and adobe_transform(segment) != _YCCK:
        return without_adobe_segment(data)
    raise ImageError(
        Reason.MODE_NOT_CLEANED, "The picture's inks are coded in a way that is not cleaned."
    )


def _transform(stream: Any) -> Any:
    """What the PDF says of the components where the file says nothing: 0 that they are plain."""
    parameters = last_parameters(stream)
    return None if parameters is None else parameters.get("/ColorTransform")


def _jpeg_stream(stream: Any, cleaned: bytes) -> bytes:
    if not cleaned.startswith(JPEG):
        raise _not_of_this_picture()
    frame = take_apart(cleaned).frame
    if frame.size != (stream.Height, stream.Width):
        raise _not_of_this_picture()
    original = _packed(stream, filters_of(stream))
    segment = adobe_segment(original)
    data = without_adobe_segment(cleaned)
    if segment is not None:
        data = with_adobe_segment(data, segment)
    return data if has_profile(original) else without_profile(data)


def _set_only_filter(dictionary: Any, stream: Any, filters: list[str]) -> None:
    """Leave the last filter of several, with its parameters."""
    if len(filters) == 1:
        return
    parameters = last_parameters(stream)
    dictionary["/Filter"] = pikepdf.Name(filters[-1])
    if "/DecodeParms" in dictionary:
        del dictionary["/DecodeParms"]
    if parameters is not None:
        dictionary["/DecodeParms"] = parameters


# Samples


def _png_file(stream: Any, filters: list[str]) -> bytes:
    colours = _colours(stream)
    width, height, bits = stream.Width, stream.Height, stream.get("/BitsPerComponent", 8)
    row = width * colours.channels * bits // 8
    raw: bytes = stream.read_raw_bytes()
    if row * height > max(PICTURE_BOMB_BYTES, PICTURE_BOMB_RATIO * len(raw)):
        raise ImageError(
            Reason.COMPRESSION_BOMB,
            f"{len(raw)} bytes that unpack to {row * height / 1e6:.0f} MB are taken for a trap; "
            "look at the file by hand.",
        )
    packed = None
    if filters == ["/FlateDecode"]:
        packed = _image_data(stream, raw, row, height)
    if packed is None:
        packed = zlib.compress(_filtered(_samples(stream, filters, raw, row * height), row), _FAST)
    return png_file(
        width,
        height,
        bits=bits,
        channels=colours.channels,
        packed=packed,
        profile=_profile(colours),
    )


def _image_data(stream: Any, raw: bytes, row: int, height: int) -> bytes | None:
    """The stream as it stands, if it can be the image data of a PNG file."""
    parameters = last_parameters(stream)
    if parameters is None or parameters.get("/Predictor", 1) not in _PNG_PREDICTORS:
        return None
    channels = parameters.get("/Colors", 1)
    bits = parameters.get("/BitsPerComponent", 8)
    columns = parameters.get("/Columns", 1)
    is_of_this_picture = columns == stream.Width and channels * bits * columns // 8 == row
    if not is_of_this_picture or bits != stream.get("/BitsPerComponent", 8):
        return None
    wanted = (row + 1) * height
    inflater = zlib.decompressobj()
    unpacked = 0
    rest = raw
    try:
        while unpacked <= wanted and rest and not inflater.eof:
            unpacked += len(inflater.decompress(rest, _PIECE))
            rest = inflater.unconsumed_tail
    except zlib.error:
        return None
    if unpacked != wanted or not inflater.eof:
        return None
    return raw[: len(raw) - len(inflater.unused_data)]


def _samples(stream: Any, filters: list[str], raw: bytes, wanted: int) -> bytes:
    """As many bytes of samples as the picture needs; some streams have a few more."""
    has_predictor = last_parameters(stream) is not None
    if filters == ["/FlateDecode"] and not has_predictor:
        inflater = zlib.decompressobj()
        try:
            samples = inflater.decompress(raw, wanted)
        except zlib.error as error:
            raise _spoilt(str(error)) from error
    else:
        samples = _read(stream)
    if len(samples) < wanted:
        raise ImageError(
            Reason.TRUNCATED, "The picture's stream ends before the picture does; fetch it again."
        )
    return samples[:wanted]


def _filtered(samples: bytes, row: int) -> bytes:
    """Rows as PNG has them, each with its filter type before it: none."""
    rows = np.frombuffer(samples, np.uint8).reshape(-1, row)
    filtered = np.zeros((len(rows), row + 1), np.uint8)
    filtered[:, 1:] = rows
    return filtered.tobytes()


def _png_stream(stream: Any, cleaned: bytes, dictionary: Any) -> bytes:
    """The image data of a PNG file; the dictionary is told how it is packed."""
    if not cleaned.startswith(PNG):
        raise _not_of_this_picture()
    picture = read_png(cleaned)
    has_size = (picture.width, picture.height) == (stream.Width, stream.Height)
    has_depth = picture.bits == stream.get("/BitsPerComponent", 8)
    has_colours = picture.channels == _colours(stream).channels
    if not has_size or not has_depth or not has_colours or picture.is_interlaced:
        raise _not_of_this_picture()
    dictionary["/Filter"] = pikepdf.Name.FlateDecode
    dictionary["/DecodeParms"] = pikepdf.Dictionary(
        Predictor=_PNG_OPTIMUM,
        Colors=picture.channels,
        BitsPerComponent=picture.bits,
        Columns=picture.width,
    )
    return picture.packed


# Colours


def _colours(stream: Any) -> Colours:
    colours = colours_of(stream.get("/ColorSpace"))
    if isinstance(colours, Reason):
        raise ImageError(colours, f"The picture is left as it is: {colours.meaning}.")
    return colours


def _profile(colours: Colours) -> bytes | None:
    """The ICC profile of an RGB or CMYK picture; those of grey ones are of no use to the codecs.

    Raises:
        ImageError: It is a profile of something else with as many channels, such as Lab.
    """
    if colours.profile is None or colours.channels not in _PROFILED:
        return None
    profile = _read(colours.profile)
    if profile[16:20] != _PROFILED[colours.channels]:
        raise ImageError(Reason.MODE_NOT_CLEANED, "The picture's profile is one of other colours.")
    return profile if len(profile) <= _MOST_PROFILE else None


def _spoilt(what: str) -> ImageError:
    return ImageError(Reason.DECODE_FAILED, f"The picture cannot be taken out of the PDF: {what}.")


def _not_of_this_picture() -> ImageError:
    return ImageError(
        Reason.ENCODE_FAILED, "The cleaned file is not one of the picture in the PDF."
    )
