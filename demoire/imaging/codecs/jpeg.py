"""JPEG: changed blocks are coded anew, all others keep their very coefficients.

All APPn and COM segments stay as they are, except for what was derived from the pixels: thumbnails
are made anew, and so are previews behind the picture, whose index is corrected (see
`demoire.imaging.derived`). A file with a C2PA manifest is not written: its signature would break.

Quantisation tables, sampling factors, progressive or not, and RGB instead of YCbCr are kept
(`jpeg_blocks`, `jpeg_coefficients`). Huffman codes are chosen for the picture, by some of its rows,
which keeps the file from growing; restart markers go. Where blocks cannot be replaced (tables that
change between scans) the whole picture is coded anew: pixels that were not changed then move by
0.02 to 0.25 of 255 on average, and sampling that libjpeg's front end does not write becomes 4:4:4.
So are previews.

libjpeg makes up what is missing or spoilt, in grey, and only warns about it. Pillow ignores the
warnings; simplejpeg treats them as errors, decodes to the very same pixels, and is a quarter
faster. It gets the segments that decide the pixels alone, so that no warning is about anything
else. A file without an end-of-image marker counts as cut short even if the decoder happens to be
content.

References:
    ITU-T T.81 (ISO/IEC 10918-1), annex B: markers in B.1.1.3 and table B.1, frame header in B.2.2,
    scan header in B.2.3, restart interval in B.2.4.4. JFIF is ITU-T T.871, the Adobe segment ITU-T
    T.872, 6.5.3.
"""

import io
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, JpegImagePlugin

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, file_of_parts
from demoire.imaging.codecs.jpeg_blocks import can_be_recoded, colours_of, recoded
from demoire.imaging.codecs.jpeg_parts import (
    APP14,
    APP_OR_COM,
    BASELINE,
    EOI,
    EXTENDED,
    PROGRESSIVE,
    SOI,
    SOS,
    JpegParts,
    count_of,
    fewest_bytes,
    lean_file,
    take_apart,
    whole_segment,
)
from demoire.imaging.codecs.jpeg_xmp import with_xmp
from demoire.imaging.codecs.libjpeg_target import Colours
from demoire.imaging.codecs.pillow import (
    PillowHeader,
    bits_of_mode,
    facts_of,
    open_view,
)
from demoire.imaging.codecs.pillow_pixels import only_to_look_at, to_image
from demoire.imaging.codecs.raster import CutShortError, Pixels, Raster
from demoire.imaging.colour import view_of
from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.multi_picture import PictureIndex, moved, read_index
from demoire.imaging.derived.segments import renewed
from demoire.imaging.derived.thumbnail import Thumbnailer
from demoire.imaging.facts import Format
from demoire.imaging.room import room_for
from demoire.reasons import Reason

__all__ = ["FORMAT", "SUFFIXES", "decode", "encode", "is_cut_short", "is_risky"]
__all__ += ["quantisation_tables", "read_header", "recognises", "with_xmp"]

FORMAT: Format = "JPEG"
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

_RESTART_INTERVAL = 0xDD
_PRECISION = 8  # bits of a sample

_MOST_SCANS = 50  # encoders write about ten, libjpeg itself gives up at 500
# libjpeg's words for a picture that is not there in full, and for one with filling behind it, as
# cameras write it.
_ENDED = "premature end"
_UNKNOWN_SAMPLING = "Could not determine subsampling"
_PADDED = "extraneous bytes before marker 0xd9"
# simplejpeg's names of the colours to decode to, by Pillow's of those in the file.
_DECODED_AS = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_CHANNELS = {"GRAY": 1, "RGB": 3, "CMYK": 4}
# Pillow's names of the sampling that libjpeg writes, by the factors of the first component.
_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


def recognises(data: FileBytes) -> bool:
    """Whether the file begins with the start-of-image marker and another marker."""
    return data.startswith(b"\xff\xd8\xff")


def read_header(data: FileBytes) -> PillowHeader:
    """The header as Pillow reads it, of the first picture in a multi-picture file too."""
    try:
        view = open_view(JpegImagePlugin.JpegImageFile, data)
    except SyntaxError:
        parts = take_apart(data)
        if parts.frame.precision != _PRECISION:
            raise ImageError(
                Reason.MODE_NOT_CLEANED,
                f"The image has {parts.frame.precision} bits a sample; it is copied as it is.",
            ) from None
        # Pillow gives up at a segment that it cannot parse, be it only an empty profile.
        view = open_view(JpegImagePlugin.JpegImageFile, lean_file(parts))
    facts = facts_of(view, FORMAT, size=view.size, bits=bits_of_mode(view), pages=_frames(view))
    return PillowHeader(facts, view)


def _frames(view: Image.Image) -> int:
    """How many pictures in their own right a file holds: previews and gain maps are none."""
    payload = view.info.get("mp")
    try:
        index = read_index(b"MPF\0" + payload) if payload else None
    except StaleDataError:
        return 1
    if index is None:
        return 1
    return 1 + sum(image.is_frame for image in index.images[1:])


def is_cut_short(data: FileBytes) -> bool:
    """Whether the end-of-image marker is missing, or too little comes before it for this size.

    libjpeg makes up what is missing, in grey, and says nothing.
    """
    try:
        parts = take_apart(data)
        return len(parts.scans) < max(1, fewest_bytes(parts.frame))
    except CutShortError:
        return True


def is_risky(data: FileBytes) -> bool:
    """Whether there are so many scans that decoding may never end.

    Each scan of a progressive file costs as much as a whole picture.
    """
    return count_of(SOS, data) > _MOST_SCANS


def decode(data: FileBytes, header: PillowHeader) -> Raster:
    """Grey or RGB pixels, or inks; lossless and arithmetically coded files only to look at.

    So are signed ones.
    """
    parts = take_apart(data)
    raster = _decode_parts(parts, header.view)
    if parts.is_signed and raster.obstacle is None:
        return replace(raster, obstacle=Reason.SIGNED)
    return raster


def _decode_parts(parts: JpegParts, view: Image.Image) -> Raster:
    is_plain = parts.frame.marker in (BASELINE, EXTENDED, PROGRESSIVE)
    colours = _DECODED_AS.get(view.mode)
    has_inks = view.mode == "CMYK"
    if colours is None or not is_plain or (has_inks and not can_be_recoded(parts)):
        view.load()
        return only_to_look_at(view)
    try:
        samples = _decode_strictly(parts, colours)
    except _UnknownSamplingError:
        view.load()
        return only_to_look_at(view)
    return Raster(_inks(parts, samples) if has_inks else samples)


def _inks(parts: JpegParts, samples: Pixels) -> Pixels:
    """Inks of CMYK samples, or samples of inks: Adobe's programs store what is left of the paper.

    Other programs store how much ink there is, and write no Adobe segment.
    """
    return samples if parts.find(APP14, b"Adobe") is None else ~samples


def _decode_strictly(parts: JpegParts, colours: str) -> Pixels:
    data = lean_file(parts)
    pixels = room_for((*parts.frame.size, _CHANNELS[colours]), np.uint8)
    try:
        _decode(data, colours, pixels, strict=True)
        return pixels
    except ValueError as error:
        if _PADDED in str(error):
            _decode(data, colours, pixels, strict=False)
            return pixels
        if _ENDED in str(error).lower():
            raise CutShortError(str(error)) from error
        if _UNKNOWN_SAMPLING in str(error):
            raise _UnknownSamplingError(str(error)) from error
        raise


class _UnknownSamplingError(ValueError):
    """Sampling factors that libjpeg-turbo's own interface has no name for."""


def encode(data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
    """The file with other coded data: its own APPn and COM segments first, then the new rest.

    Raises:
        StaleDataError: It holds a thumbnail or an index that cannot be made to fit new pixels.
    """
    old = take_apart(data)
    if pixels.shape[2] == 4:
        coded = recoded(old, _inks(old, raster.pixels), _inks(old, pixels))
        if coded is None:
            raise ValueError("its inks cannot be coded")
        view = view_of(pixels, read_header(data).profile)
        return _with_coded(data, old, coded, pixels if view is None else view.pixels)
    coded = recoded(old, raster.pixels, pixels) or _code(old, pixels)
    return _with_coded(data, old, coded, pixels)


def _with_coded(data: FileBytes, old: JpegParts, whole: bytes, pixels: Pixels) -> FileBytes:
    """The file with the coded data of another JPEG file of these pixels."""
    new = take_apart(whole)
    thumbnailer = Thumbnailer(pixels)
    kept = []
    for marker, segment in old.unsigned_segments:
        if marker in APP_OR_COM:
            kept.append(whole_segment(marker, renewed(marker, segment[4:], thumbnailer)))
    coded = b"".join(segment for marker, segment in new.segments if marker not in APP_OR_COM)
    picture = (SOI, *kept, coded, new.scans, EOI)
    index = old.index
    if index is None:
        return file_of_parts((*picture, old.trailer), like=data)
    behind = _with_pictures_behind(data, b"".join(picture), index, thumbnailer)
    return file_of_parts(behind, like=data)


def _with_pictures_behind(
    old_file: FileBytes, picture: bytes, index: PictureIndex, thumbnailer: Thumbnailer
) -> tuple[bytes, ...]:
    """The parts of a multi-picture file whose first picture was coded anew.

    Offsets in the index count from its own byte order mark, four bytes into the segment.
    """
    old_at = old_file.index(index.payload)
    new_at = picture.index(index.payload)

    def renew_preview(preview: bytes) -> bytes:
        """Only the preview's pixels are new; its own Exif stays."""
        header = read_header(preview)
        small = thumbnailer.image(header.facts.width, header.facts.height)
        pixels = np.atleast_3d(np.asarray(small.convert(header.view.mode)))
        parts = take_apart(preview)
        return bytes(_with_coded(preview, parts, _code(parts, pixels), pixels))

    payload, trailer = moved(
        index,
        old_base=old_at + 4,
        old_file=old_file,
        new_base=new_at + 4,
        new_length=len(picture),
        renew_preview=renew_preview,
    )
    return picture[:new_at], payload, picture[new_at + len(payload) :], trailer


def _decode(data: bytes, colours: str, pixels: Pixels, *, strict: bool) -> None:
    """Decode into these pixels."""
    simplejpeg.decode_jpeg(
        data, colours, fastdct=False, fastupsample=False, strict=strict, buffer=pixels
    )


def quantisation_tables(header: JpegImagePlugin.JpegImageFile) -> list[list[int]]:
    """The quantisation table (64 entries) of each component."""
    return [list(header.quantization[component[3]]) for component in header.layer]


def _quantisation_tables(data: bytes) -> list[list[int]]:
    """The tables to code with; equal ones at the end once, as the encoder repeats the last."""
    tables = quantisation_tables(JpegImagePlugin.JpegImageFile(io.BytesIO(data)))
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return tables


def _code(old: JpegParts, pixels: Pixels) -> bytes:
    """A JPEG file of these pixels, all of them coded anew the way the old one was."""
    frame = old.frame
    factors = frame.factors
    is_usual_sampling = all(factor == (1, 1) for factor in factors[1:])
    interval = old.find(_RESTART_INTERVAL)
    options: dict[str, Any] = {
        "qtables": _quantisation_tables(lean_file(old)),
        "subsampling": _SUBSAMPLING.get(factors[0], 0) if is_usual_sampling else 0,
        "progressive": frame.marker == PROGRESSIVE,
        "keep_rgb": colours_of(old) == Colours.RGB,
        "restart_marker_blocks": struct.unpack(">H", interval[:2])[0] if interval else 0,
    }
    image = to_image(pixels)
    out = io.BytesIO()
    try:
        image.save(out, "JPEG", optimize=True, **options)
    except OSError:
        # Optimising needs the whole scan in one buffer, and Pillow guesses its size: noise in top
        # quality is larger. Progressive coding always optimises.
        out = io.BytesIO()
        image.save(out, "JPEG", **options | {"progressive": False})
    return out.getvalue()
