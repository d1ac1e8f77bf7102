"""PNG: the image data is coded anew, every other chunk stays as it is and where it is.

Text, gamma, chromaticities, colour profile, physical size and time are therefore kept to the byte,
and Exif but for its thumbnail, which is made anew. Two kinds of chunks are left out: Apple's iDOT,
which points into the old image data, and unknown ones that the format itself calls unsafe to copy
into a file whose image data has changed. A file with a C2PA manifest is not written. A transparent
colour (tRNS) is kept true: pixels of that colour are not changed, and no other pixel is given it.
Interlaced files come out not interlaced: the same picture, shown in one pass. 16-bit files go
through imagecodecs, because Pillow has no 16-bit RGB.

References:
    W3C, "Portable Network Graphics (PNG) Specification (Third Edition)": signature and chunk layout
    in 5.2 and 5.3, the safe-to-copy bit in 5.4, IHDR in 11.2.1, IDAT in 11.2.3, tRNS in 11.3.1.1.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import replace

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from demoire.file_bytes import FileBytes, file_of_parts
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.pillow import PillowHeader, facts_of, open_view
from demoire.imaging.codecs.pillow_pixels import grey_or_rgb, only_to_look_at, to_image
from demoire.imaging.codecs.png_chunks import SIGNATURE, Chunk, chunks_of, whole_chunk
from demoire.imaging.codecs.png_stripes import RowFormat, compressed, decoded_in_stripes
from demoire.imaging.codecs.raster import Pixels, Raster
from demoire.imaging.derived.exif import with_new_thumbnail
from demoire.imaging.derived.thumbnail import Thumbnailer
from demoire.imaging.facts import Format
from demoire.imaging.room import copy_of, let_go_behind
from demoire.reasons import Reason

FORMAT: Format = "PNG"
SUFFIXES = frozenset({".png"})

# IHDR is the first chunk, so its fields have fixed offsets in the file.
_SIZE_AT = 16
_DEPTH_AT = 24
_COLOUR_TYPE_AT = 25
_INTERLACE_AT = 28
_GREY, _RGB, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6  # colour types; 3 is a palette
_COLOURS = {_GREY: 1, _RGB: 3, _GREY_ALPHA: 1, _RGB_ALPHA: 3}
_SAMPLES = {_RGB: 3, _GREY_ALPHA: 2, _RGB_ALPHA: 4}  # a pixel, as coded; 1 for all others
# Registered chunks with the unsafe-to-copy bit that say nothing about the image data we change.
_UNSAFE_BUT_KNOWN = frozenset(
    {b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"tRNS", b"cICP", b"mDCV", b"cLLI"}
    | {b"hIST", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"tIME"}
)
_XMP = b"XML:com.adobe.xmp\0"  # keyword of an iTXt chunk
_MANIFEST = b"caBX"  # C2PA's, see C2PA 2.1, A.3.2
_MOST_DEFLATED = 1032  # bytes that one byte of deflate can stand for (zlib's documentation)
_COMPARED = 1 << 18  # px at a time
_LEVEL = 4  # twice as fast as the usual 6, and 1 to 4 % larger


class DamagedError(ValueError):
    """A chunk whose checksum does not hold, or that is not where it belongs."""


def recognises(data: FileBytes) -> bool:
    """Whether the file begins with PNG's eight bytes."""
    return data.startswith(SIGNATURE)


def read_header(data: FileBytes) -> PillowHeader:
    """The header as Pillow reads it, with the bit depth that IHDR names."""
    view = open_view(PngImagePlugin.PngImageFile, data)
    assert isinstance(view, PngImagePlugin.PngImageFile)
    facts = facts_of(view, FORMAT, size=view.size, bits=data[_DEPTH_AT], pages=view.n_frames)
    return PillowHeader(facts, view)


def is_cut_short(data: FileBytes) -> bool:
    """Whether the chunks do not lead to IEND, or hold too little for a picture of this size."""
    packed = 0
    is_ended = False
    for chunk in chunks_of(data):
        if chunk.type == b"IDAT":
            packed += len(chunk.whole)
        if chunk.type == b"IEND":
            is_ended = True
    return not is_ended or packed * _MOST_DEFLATED < _unpacked_size(data)


def is_risky(data: FileBytes) -> bool:
    """Whether libpng decodes it, as it does 16-bit files; up to 8 bits it is Pillow and zlib."""
    return data[_DEPTH_AT] == 16


def decode(data: FileBytes, header: PillowHeader) -> Raster:
    """Grey or RGB pixels with their alpha; palettes and fewer than 8 bits only to look at.

    Raises:
        DamagedError: A checksum of the image data does not hold.
    """
    for chunk in chunks_of(data):
        if chunk.type == b"IDAT" and not chunk.is_sound:
            raise DamagedError("the checksum of the image data does not hold")
    form = _row_format(data)
    if form is not None and form.is_large:
        raster = decoded_in_stripes(form, data, _decode_stripe)
    else:
        raster = _decode_whole(data, header)
    if raster.obstacle is None and any(chunk.type == _MANIFEST for chunk in chunks_of(data)):
        return replace(raster, obstacle=Reason.SIGNED)
    return raster


def _decode_stripe(file: bytes) -> Raster:
    return _decode_whole(file, read_header(file))


def _decode_whole(data: FileBytes, header: PillowHeader) -> Raster:
    depth = data[_DEPTH_AT]
    colour_type = data[_COLOUR_TYPE_AT]
    if depth == 16:
        return _decode_deep(data, colour_type)
    header.view.load()
    if depth != 8 or colour_type not in _COLOURS:
        return only_to_look_at(header.view)
    return grey_or_rgb(header.view)


def _row_format(data: FileBytes) -> RowFormat | None:
    """How the rows lie in a file that can be decoded in stripes; None for any other."""
    width, height, depth, colour_type = struct.unpack_from(">2I2B", data, _SIZE_AT)
    if depth not in (8, 16) or colour_type not in _COLOURS or data[_INTERLACE_AT]:
        return None
    return RowFormat(height, width, depth, colour_type)


def encode(data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
    """The file with other IHDR and IDAT chunks; what follows IEND is dropped.

    Raises:
        StaleDataError: Its Exif holds a thumbnail that cannot be made anew.
    """
    thumbnailer = Thumbnailer(pixels)
    pixels = _keep_transparent_colour(data, raster.pixels, pixels)
    coded = _coded(data, pixels, raster.alpha)
    return file_of_parts(_with_image_data(data, coded, thumbnailer), like=data)


def _with_image_data(
    data: FileBytes, coded: Iterator[bytes | memoryview], thumbnailer: Thumbnailer
) -> Iterator[bytes | memoryview]:
    """The parts of the file with these chunks for IHDR and IDAT."""
    yield SIGNATURE
    # IHDR is taken from the new file because the old one may say "interlaced".
    yield next(coded)
    for chunk in chunks_of(data):
        if chunk.type == b"IDAT":
            # All the new image data goes where the first old IDAT stood (they are consecutive).
            yield from coded
        elif chunk.type == b"eXIf":
            exif = with_new_thumbnail(chunk.data, thumbnailer)
            yield whole_chunk(b"eXIf", exif)
        elif chunk.type != b"IHDR" and _may_be_kept(chunk):
            yield chunk.whole
        if chunk.type == b"IEND":
            return


def with_xmp(data: FileBytes, edit: EditXmp) -> FileBytes:
    """The file with another XMP packet, in an iTXt chunk before the image data."""
    old = next((chunk for chunk in chunks_of(data) if chunk.whole[8 : 8 + len(_XMP)] == _XMP), None)
    if old is not None and old.data[len(_XMP)] != 0:
        return data  # compressed, which nobody does
    # Behind the keyword: compression flag and method, then language and translated keyword, which
    # both end with a zero byte.
    head = _XMP + bytes(4)
    packet = None
    if old is not None:
        language, translation, packet = old.data[len(_XMP) + 2 :].split(b"\0", 2)
        head = _XMP + bytes(2) + language + b"\0" + translation + b"\0"
    packet = edit(packet)
    if packet is None:
        return data
    new = whole_chunk(b"iTXt", head + packet)
    out: list[bytes | memoryview] = [SIGNATURE]
    is_written = False
    for chunk in chunks_of(data):
        if old is not None and chunk.whole == old.whole:
            out.append(new)
            continue
        if old is None and chunk.type == b"IDAT" and not is_written:
            out.append(new)
            is_written = True
        out.append(chunk.whole)
    return file_of_parts(out, like=data)


def _may_be_kept(chunk: Chunk) -> bool:
    """Whether a chunk is still true beside other image data.

    The case of the fourth letter is the safe-to-copy bit: lower case means that the chunk does not
    depend on the image data. Critical chunks (first letter in upper case) are all known here.
    """
    is_critical = chunk.type[:1].isupper()
    is_safe_to_copy = chunk.type[3:4].islower()
    return is_critical or is_safe_to_copy or chunk.type in _UNSAFE_BUT_KNOWN


def _unpacked_size(data: FileBytes) -> int:
    """Bytes of image data that the header announces.

    Filter types and the padding of rows are left out, so this is a lower bound.
    """
    width, height, depth, colour_type = struct.unpack_from(">2I2B", data, _SIZE_AT)
    bits = width * height * depth * _SAMPLES.get(colour_type, 1)
    return int(bits) // 8


def _decode_deep(data: FileBytes, colour_type: int) -> Raster:
    """The raster of a 16-bit file."""
    samples: NDArray[np.uint16] = np.atleast_3d(imagecodecs.png_decode(data))
    if samples.dtype != np.uint16:
        raise DamagedError("the decoder gave other than 16 bits")
    pixels = np.ascontiguousarray(samples[:, :, : _COLOURS[colour_type]])
    if colour_type in (_GREY_ALPHA, _RGB_ALPHA):
        return Raster(pixels, np.ascontiguousarray(samples[:, :, -1]))
    return Raster(pixels)


def _coded(data: FileBytes, pixels: Pixels, alpha: Pixels | None) -> Iterator[bytes | memoryview]:
    """IHDR and the chunks of image data of these samples, in the mode that the file has."""
    height, width = pixels.shape[:2]
    form = RowFormat(height, width, 8 * pixels.dtype.itemsize, data[_COLOUR_TYPE_AT])
    if form.is_large:
        planes = [pixels] if alpha is None else [pixels, alpha]

        def code(top: int, bottom: int) -> bytes:
            part = None if alpha is None else alpha[top:bottom]
            return _code_by_libpng(pixels[top:bottom], part, level=0)

        yield form.header(height)
        stripes = let_go_behind(form.stripes(), *planes)
        for part in compressed(form, stripes, code, _LEVEL):
            yield whole_chunk(b"IDAT", part)
        return
    for chunk in chunks_of(_code(pixels, alpha)):
        if chunk.type in (b"IHDR", b"IDAT"):
            yield chunk.whole


def _code(pixels: Pixels, alpha: Pixels | None) -> bytes:
    """A PNG file of these samples, without any other chunk."""
    if pixels.dtype == np.uint16:
        return _code_by_libpng(pixels, alpha, _LEVEL)
    out = io.BytesIO()
    to_image(pixels, alpha).save(out, "PNG", compress_level=_LEVEL)
    return out.getvalue()


def _code_by_libpng(pixels: Pixels, alpha: Pixels | None, level: int) -> bytes:
    """The same of any depth, at this level of compression."""
    samples = pixels if alpha is None else np.dstack([pixels, alpha])
    if samples.shape[2] == 1:
        samples = samples[:, :, 0]
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(samples), level=level))


def _keep_transparent_colour(data: FileBytes, old: Pixels, new: Pixels) -> Pixels:
    """The new pixels, but the old ones wherever old or new have the transparent colour.

    In grey and RGB files tRNS names one colour, 16 bits a sample, that is to be shown as
    transparent.
    """
    transparency = next((chunk for chunk in chunks_of(data) if chunk.type == b"tRNS"), None)
    if transparency is None:
        return new
    colour = np.frombuffer(transparency.data, dtype=">u2")
    if len(colour) != old.shape[2]:
        return new
    kept = copy_of(new)
    height, width = old.shape[:2]
    stripes = in_stripes(Box(0, 0, height, width), _COMPARED, columns=width)
    for stripe in let_go_behind(stripes, old, new, kept):
        before = old[stripe.slices]
        was_transparent = (before == colour).all(axis=2)
        would_be_transparent = (new[stripe.slices] == colour).all(axis=2)
        stays = was_transparent | would_be_transparent
        kept[stripe.slices][stays] = before[stays]
    return kept
