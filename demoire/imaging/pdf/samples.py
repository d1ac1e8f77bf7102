"""Samples of a picture that is no JPEG: as a picture file, and back as a stream. Runs in the child.

Deflated samples with PNG's filters are the image data of a PNG file as they stand; other samples
are deflated again, fast, since the file is only to be decoded. The stream of a cleaned PNG file is
its image data. So no pixel is decoded here. Inks become a TIFF file instead. Samples that the PDF
reads the other way round (Decode) are turned over, and go back as what they mean.

References:
    ISO 32000-1:2008: Flate and its predictors in 7.4.4, Decode arrays in 8.9.5.2.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pikepdf

from demoire.errors import ImageError
from demoire.imaging.codecs import png_chunks
from demoire.imaging.limits import PICTURE_BOMB_BYTES, PICTURE_BOMB_RATIO
from demoire.imaging.pdf.cleaned_file import png_file, read_png
from demoire.imaging.pdf.inks import inks_of_tiff, tiff_of_inks
from demoire.imaging.pdf.obstacles import (
    INKS,
    Colours,
    is_inverted,
    last_parameters,
    whole_number,
)
from demoire.imaging.pdf.picture import not_of_this_picture
from demoire.imaging.pdf.stream_parts import colours_in, profile_of, spoilt, unpacked
from demoire.reasons import Reason

_FAST = 1  # level of deflate
_PNG_PREDICTORS = range(10, 16)
_PNG_OPTIMUM = 15  # each row says its own filter
_PIECE = 1 << 20  # bytes that are unpacked at a time


@dataclass(frozen=True)
class _Layout:
    """How the samples of a picture lie in its stream, once it is unpacked."""

    width: int  # px
    height: int  # px
    bits: int  # a sample
    colours: Colours

    @staticmethod
    def of(stream: Any) -> "_Layout":
        """The layout that a picture's dictionary tells."""
        return _Layout(
            width=whole_number(stream, "/Width"),
            height=whole_number(stream, "/Height"),
            bits=whole_number(stream, "/BitsPerComponent", 8),
            colours=colours_in(stream),
        )

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return self.width * self.colours.channels * self.bits // 8

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.row * self.height


def png_of_samples(stream: Any, filters: list[str]) -> bytes:
    """A PNG file of a stream of grey or RGB samples."""
    layout = _Layout.of(stream)
    raw: bytes = stream.read_raw_bytes()
    _check_is_no_trap(raw, layout.size)
    packed = None
    if filters == ["/FlateDecode"] and not is_inverted(stream):
        packed = _image_data(stream, raw, layout)
    if packed is None:
        samples = _samples(stream, filters, layout.size)
        packed = zlib.compress(_filtered(samples, layout.row), _FAST)
    return png_file(
        layout.width,
        layout.height,
        bits=layout.bits,
        channels=layout.colours.channels,
        packed=packed,
        profile=profile_of(layout.colours),
    )


def tiff_file(stream: Any, filters: list[str]) -> bytes:
    """A TIFF file of a stream of inks."""
    layout = _Layout.of(stream)
    return tiff_of_inks(
        _samples(stream, filters, layout.size),
        width=layout.width,
        height=layout.height,
        bits=layout.bits,
        profile=profile_of(layout.colours),
    )


def _image_data(stream: Any, raw: bytes, layout: _Layout) -> bytes | None:
    """The stream as it stands, if it can be the image data of a PNG file."""
    parameters = last_parameters(stream)
    if parameters is None or parameters.get("/Predictor", 1) not in _PNG_PREDICTORS:
        return None
    channels = whole_number(parameters, "/Colors", 1)
    bits = whole_number(parameters, "/BitsPerComponent", 8)
    columns = whole_number(parameters, "/Columns", 1)
    stated = (columns, channels, bits)
    if stated != (layout.width, layout.colours.channels, layout.bits):
        return None
    wanted = (layout.row + 1) * layout.height
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


def _samples(stream: Any, filters: list[str], wanted: int) -> bytes:
    """As many bytes of samples as the picture needs, the right way round; some streams have a few
    more.
    """
    raw: bytes = stream.read_raw_bytes()
    _check_is_no_trap(raw, wanted)
    has_predictor = last_parameters(stream) is not None
    if filters == ["/FlateDecode"] and not has_predictor:
        inflater = zlib.decompressobj()
        try:
            samples = inflater.decompress(raw, wanted)
        except zlib.error as error:
            raise spoilt(str(error)) from error
    else:
        samples = unpacked(stream)
    if len(samples) < wanted:
        raise ImageError(
            Reason.TRUNCATED, "The picture's stream ends before the picture does; fetch it again."
        )
    samples = samples[:wanted]
    return bytes(~np.frombuffer(samples, np.uint8)) if is_inverted(stream) else samples


def _check_is_no_trap(raw: bytes, wanted: int) -> None:
    """Refuse what unpacks to so many times its own size."""
    if wanted > max(PICTURE_BOMB_BYTES, PICTURE_BOMB_RATIO * len(raw)):
        raise ImageError(
            Reason.COMPRESSION_BOMB,
            f"{len(raw)} bytes that unpack to {wanted / 1e6:.0f} MB are taken for a trap; "
            "look at the file by hand.",
        )


def _filtered(samples: bytes, row: int) -> bytes:
    """Rows as PNG has them, each with its filter type before it: none."""
    rows = np.frombuffer(samples, np.uint8).reshape(-1, row)
    filtered = np.zeros((len(rows), row + 1), np.uint8)
    filtered[:, 1:] = rows
    return filtered.tobytes()


def stream_of_samples(stream: Any, cleaned: bytes, dictionary: Any) -> bytes:
    """The stream of a cleaned PNG or TIFF file; the dictionary is told how to read it."""
    if is_inverted(stream):
        del dictionary["/Decode"]
    layout = _Layout.of(stream)
    if layout.colours.channels != INKS:
        return _png_stream(layout, cleaned, dictionary)
    dictionary["/Filter"] = pikepdf.Name.FlateDecode
    if "/DecodeParms" in dictionary:
        del dictionary["/DecodeParms"]
    inks = inks_of_tiff(cleaned, width=layout.width, height=layout.height, bits=layout.bits)
    return zlib.compress(inks)


def _png_stream(layout: _Layout, cleaned: bytes, dictionary: Any) -> bytes:
    """The image data of a PNG file; the dictionary is told how it is packed."""
    if not cleaned.startswith(png_chunks.SIGNATURE):
        raise not_of_this_picture()
    picture = read_png(cleaned)
    has_size = (picture.width, picture.height) == (layout.width, layout.height)
    has_depth = picture.bits == layout.bits
    has_colours = picture.channels == layout.colours.channels
    if not has_size or not has_depth or not has_colours or picture.is_interlaced:
        raise not_of_this_picture()
    dictionary["/Filter"] = pikepdf.Name.FlateDecode
    dictionary["/DecodeParms"] = pikepdf.Dictionary(
        Predictor=_PNG_OPTIMUM,
        Colors=picture.channels,
        BitsPerComponent=picture.bits,
        Columns=picture.width,
    )
    return picture.packed
