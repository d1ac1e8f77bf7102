"""A picture's stream as a picture file, and a cleaned file as a stream. Runs in the child.

A JPEG stream is a JPEG file, apart from what the PDF says of it elsewhere: profile, and how
components are to be read. `samples` has all that is no JPEG, `jpx` JPEG 2000.

References:
    ISO 32000-1:2008: DCT in 7.4.8.
"""

from contextlib import suppress
from typing import Any

import pikepdf

from demoire.errors import ImageError
from demoire.imaging.codecs.jpeg_parts import take_apart
from demoire.imaging.pdf.cleaned_file import (
    JPEG,
    adobe_segment,
    adobe_transform,
    has_profile,
    with_adobe_segment,
    with_profile,
    without_adobe_segment,
    without_profile,
)
from demoire.imaging.pdf.encryption import Encryption
from demoire.imaging.pdf.jpx import jpeg_2000_file, jpeg_2000_stream
from demoire.imaging.pdf.negatives import negative_of, positive_of
from demoire.imaging.pdf.obstacles import (
    INKS,
    JPEG_2000_FILTER,
    JPEG_FILTER,
    filters_of,
    is_inverted,
    last_parameters,
)
from demoire.imaging.pdf.picture import not_of_this_picture
from demoire.imaging.pdf.requests import RenewedObject
from demoire.imaging.pdf.samples import png_of_samples, stream_of_samples, tiff_file
from demoire.imaging.pdf.stream_parts import colours_in, profile_of, spoilt, unpacked
from demoire.reasons import Reason

_YCCK = 2  # in an Adobe segment


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
        return jpeg_2000_file(stream, data)
    if colours_in(stream).channels == INKS:
        return tiff_file(stream, filters)
    return png_of_samples(stream, filters)


def renewed_object(
    stream: Any, cleaned: bytes, encryption: Encryption | None = None
) -> RenewedObject:
    """The object of a picture whose carved file was cleaned.

    Args:
        stream: The picture as it is.
        cleaned: The cleaned file.
        encryption: How its file encrypts objects; None where it does not.

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
        data = jpeg_2000_stream(stream, cleaned, _packed(stream, filters))
        _set_only_filter(dictionary, stream, filters)
    else:
        data = stream_of_samples(stream, cleaned, dictionary)
    number, generation = stream.objgen
    if encryption is not None:
        data = encryption.stream(data, (number, generation))
        dictionary = encryption.with_strings(dictionary, (number, generation))
    dictionary["/Length"] = len(data)
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
        return unpacked(outer)


def _jpeg_file(stream: Any, data: bytes) -> bytes:
    if not data.startswith(JPEG):
        raise spoilt("its stream is no JPEG")
    colours = colours_in(stream)
    with suppress(ValueError):  # the codec will tell what is wrong with it
        frame = take_apart(data).frame
        if frame.size != (stream.Height, stream.Width) or frame.components != colours.channels:
            raise spoilt("its stream is a JPEG of another size or other colours")
    if colours.channels == INKS:
        data = _with_inks_as_in_a_file(stream, data)
    elif colours.channels == 3 and adobe_segment(data) is None and _transform(stream) == 0:
        data = with_adobe_segment(data)  # else RGB would be read as YCbCr
    if _is_negative(stream):
        data = positive_of(data)
    profile = profile_of(colours)
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


def _is_negative(stream: Any) -> bool:
    """Whether its samples are turned over; of inks, picture files have a way to say so."""
    return is_inverted(stream) and colours_in(stream).channels != INKS


def _transform(stream: Any) -> Any:
    """What the PDF says of the components where the file says nothing: 0 that they are plain."""
    parameters = last_parameters(stream)
    return None if parameters is None else parameters.get("/ColorTransform")


def _jpeg_stream(stream: Any, cleaned: bytes) -> bytes:
    if not cleaned.startswith(JPEG):
        raise not_of_this_picture()
    frame = take_apart(cleaned).frame
    if frame.size != (stream.Height, stream.Width):
        raise not_of_this_picture()
    original = _packed(stream, filters_of(stream))
    segment = adobe_segment(original)
    data = without_adobe_segment(cleaned)
    if segment is not None:
        data = with_adobe_segment(data, segment)
    if _is_negative(stream):
        data = negative_of(data)
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
