"""JPEG XL: the frames are coded anew, the header before them and all boxes stay as they were.

The header of a codestream ends on a whole byte, and what follows depends on little of it. So the
frames of a new codestream can stand behind the old header, which keeps orientation, colours, depth
and all else that it says. Lossless files stay lossless to the bit: they are decoded again and
compared. A lossy file gets the least quality that takes as many bytes as it had.

Costs, one core: lossless is coded at some 0.5 MP/s and decoded at 1.5, lossy coded at 1 and decoded
at 10; lossy files are coded three or four times.

References:
    ISO/IEC 18181-2, JPEG XL file format: boxes (9.1 to 9.9). Codestream: see `jxl_header`.
"""

from dataclasses import dataclass

import imagecodecs
import numpy as np

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.iso_boxes import FileBox, new_box, read_boxes
from demoire.imaging.codecs.jxl_header import (
    ALPHA,
    SRGB_TRANSFER,
    START,
    JxlMetadata,
    is_modular,
    profile_stated_by,
    read_metadata,
)
from demoire.imaging.codecs.least_quality import coded_as_large
from demoire.imaging.codecs.raster import (
    CutShortError,
    Pixels,
    Raster,
    from_full_range,
    to_full_range,
)
from demoire.imaging.derived.exif import with_new_thumbnail
from demoire.imaging.derived.thumbnail import Thumbnailer
from demoire.imaging.facts import Format, ImageFacts
from demoire.reasons import Reason

FORMAT: Format = "JXL"
SUFFIXES = frozenset({".jxl"})

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_WHOLE, _PART = b"jxlc", b"jxlp"
_EXIF, _XMP, _PACKED = b"Exif", b"xml ", b"brob"
_OF_JPEG = b"jbrd"  # what is needed to make the JPEG file again, to the byte, of which it was made
_GAIN_MAP = b"jhgm"
_INDEX = b"jxli"  # of the bytes at which frames begin
_MANIFEST = b"jumb"
_PART_NUMBER = 4  # bytes before a part of the codestream
_DEPTHS = range(8, 17)
_BRIGHT = frozenset({16, 18})  # transfers of HDR: PQ and HLG
# Of an encoder's quality (0 is lossless), from which a lossy picture's is chosen.
_DISTANCES = (4.0, 3.0, 2.2, 1.6, 1.2, 0.9, 0.6, 0.4, 0.2)
_EFFORT = 5  # of 9: two hundredths longer than at the usual 7, and twice as fast


@dataclass(frozen=True)
class JxlHeader:
    """The facts, and what of the codestream they were read from.

    Attributes:
        facts: What the header says.
        metadata: The same in its own terms.
        profile: One made of the colours that it states; an ICC profile in the file is not read.
    """

    facts: ImageFacts
    metadata: JxlMetadata
    profile: bytes | None


def recognises(data: FileBytes) -> bool:
    """Whether the file begins as a file of boxes, or as a bare codestream."""
    return data.startswith((_SIGNATURE, START))


def read_header(data: FileBytes) -> JxlHeader:
    """The header, without libjxl."""
    metadata = read_metadata(_codestream(data, may_be_cut=True))
    mode = "L" if metadata.colours.space == "grey" else "RGB"
    if metadata.extra:
        mode += "A"
    facts = ImageFacts(
        format=FORMAT,
        width=metadata.width,
        height=metadata.height,
        mode=mode,
        bits=metadata.samples.bits,
        dpi=None,
        icc="unreadable" if metadata.colours.has_profile else None,
        pages=1,
    )
    return JxlHeader(facts, metadata, profile_stated_by(metadata.colours))


def is_cut_short(data: FileBytes) -> bool:
    """Whether a box lies beyond the end of the file; of the codestream only decoding tells."""
    if data.startswith(START):
        return False
    boxes = list(read_boxes(data))
    return any(box.missing for box in boxes) or not _parts(boxes)


def is_risky(data: FileBytes) -> bool:
    """Always: it is a large decoder in native code."""
    return True


def decode(data: FileBytes, header: JxlHeader) -> Raster:
    """Grey or RGB pixels with their alpha; more than 8 bits over the full range of 16.

    Raises:
        ImageError: The reason for which it is copied, where it cannot even be looked at.
    """
    obstacle = _obstacle(data, header.metadata)
    try:
        samples = _decoded(data)
    except MemoryError:
        raise
    except Exception as error:
        if obstacle is None:
            raise
        raise ImageError(
            obstacle, "The image is of a kind that is not cleaned; it is copied as it is."
        ) from error
    expected = (header.metadata.height, header.metadata.width)
    if samples.shape[:2] != expected or samples.dtype.kind != "u":  # frames or floats
        raise ImageError(
            obstacle or Reason.MODE_NOT_CLEANED,
            "The image is of a kind that is not cleaned; it is copied as it is.",
        )
    colours = 1 if samples.shape[2] < 3 else 3
    pixels = np.ascontiguousarray(samples[:, :, :colours])
    alpha = None
    if samples.shape[2] in (2, 4):
        alpha = np.ascontiguousarray(samples[:, :, -1])
    if pixels.dtype == np.uint16:
        bits = header.metadata.samples.bits
        pixels = to_full_range(pixels, bits)
        alpha = None if alpha is None else to_full_range(alpha, bits)
    return Raster(pixels, alpha, obstacle)


def _decoded(data: FileBytes) -> Pixels:
    """(H, W, S) samples as they are stored, 0..2^bits - 1."""
    samples = imagecodecs.jpegxl_decode(data, keeporientation=True, numthreads=1)
    return np.atleast_3d(samples)


def _obstacle(data: FileBytes, metadata: JxlMetadata) -> Reason | None:
    """Why a file is not cleaned."""
    if metadata.is_animated:
        return Reason.ANIMATED
    boxes = [] if data.startswith(START) else list(read_boxes(data))
    if metadata.has_preview or any(box.type in (_GAIN_MAP, _INDEX) for box in boxes):
        return Reason.STALE_DATA
    if any(box.type == _OF_JPEG for box in boxes) or not _can_write(data, metadata):
        return Reason.MODE_NOT_CLEANED
    if any(_is_manifest(box) for box in boxes):
        return Reason.SIGNED
    return None


def _is_manifest(box: FileBox) -> bool:
    return box.is_manifest or _packed_type(box) == _MANIFEST


def _packed_type(box: FileBox) -> bytes:
    """What a box is that is packed by Brotli; empty of any other."""
    return box.payload[:4] if box.type == _PACKED else b""


def _can_write(data: FileBytes, metadata: JxlMetadata) -> bool:
    """Whether new frames can stand behind the old header, and mean what they should."""
    samples = metadata.samples
    if metadata.frames_start is None or samples.is_float or samples.bits not in _DEPTHS:
        return False
    if metadata.colours.space == "other" or metadata.colours.transfer in _BRIGHT:
        return False
    if len(metadata.extra) > 1 or not metadata.has_usual_light:
        return False
    for channel in metadata.extra:
        is_plain = channel.type == ALPHA and channel.samples == samples
        if not is_plain or channel.shift or channel.is_associated:
            return False
    if metadata.is_absolute:
        # The encoder takes 8 bits for sRGB, and more for light.
        is_srgb = metadata.colours.is_srgb and metadata.colours.transfer == SRGB_TRANSFER
        return is_srgb and samples.bits == 8
    return is_modular(_codestream(data)[metadata.frames_start :])


def encode(data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
    """The file with new frames, and the thumbnail in its Exif made anew.

    Raises:
        StaleDataError: Its Exif holds a thumbnail that cannot be made anew.
        ValueError: The new frames do not fit behind the old header.
    """
    stream = _codestream(data)
    metadata = read_metadata(stream)
    samples = pixels if raster.alpha is None else np.dstack([pixels, raster.alpha])
    if metadata.samples.bits > 8:
        samples = from_full_range(samples, metadata.samples.bits)
    cleaned = _coded_like(stream, metadata, np.ascontiguousarray(samples))
    if data.startswith(START):
        return cleaned
    thumbnailer = Thumbnailer(pixels)
    written = []
    has_stream = False
    for box in read_boxes(data):
        if _is_manifest(box):
            continue
        if box.type in (_WHOLE, _PART):
            if not has_stream:
                written.append(new_box(_WHOLE, cleaned).whole)
            has_stream = True
            continue
        written.append(_with_new_thumbnail(box, thumbnailer))
    return b"".join(written)


def _coded_like(stream: bytes, metadata: JxlMetadata, samples: Pixels) -> bytes:
    """The codestream with frames of these samples, (H, W, S)."""
    assert metadata.frames_start is not None
    header = stream[: metadata.frames_start]
    if not metadata.is_absolute:
        coded = header + _new_frames(samples, metadata, None)
        if not np.array_equal(_decoded(coded), samples):
            raise ValueError("the encoder did not keep every sample of a lossless picture")
        return coded

    def coded_at(distance: float) -> bytes:
        return header + _new_frames(samples, metadata, distance)

    return coded_as_large(coded_at, _DISTANCES, len, len(stream))


def _new_frames(samples: Pixels, metadata: JxlMetadata, distance: float | None) -> bytes:
    """The frames of a new codestream, if they fit behind the old header.

    Args:
        samples: What they are to show.
        metadata: What the old header says.
        distance: How far they may be off; None if not at all.

    Raises:
        ValueError: They do not.
    """
    squeezed = samples[:, :, 0] if samples.shape[2] == 1 else samples
    data = imagecodecs.jpegxl_encode(
        squeezed,
        bitspersample=metadata.samples.bits,
        effort=_EFFORT,
        usecontainer=False,
        numthreads=1,
        distance=distance,
        lossless=distance is None,
    )
    stream = _codestream(bytes(data))
    new = read_metadata(stream)
    fits = new.samples == metadata.samples and new.is_absolute == metadata.is_absolute
    has_same_channels = new.extra == metadata.extra and new.colours.space == metadata.colours.space
    is_wide_enough = new.fits_16_bits or not metadata.fits_16_bits
    if not fits or not has_same_channels or not is_wide_enough or new.frames_start is None:
        raise ValueError("the encoder wrote another kind of picture")
    return stream[new.frames_start :]


def with_xmp(data: FileBytes, edit: EditXmp) -> FileBytes:
    """The file with another XMP packet, before the codestream if it is a new one.

    A bare codestream, and a file with a packed one, stay as they are.
    """
    if data.startswith(START):
        return data
    boxes = list(read_boxes(data))
    if any(_packed_type(box) == _XMP for box in boxes):
        return data
    places = [index for index, box in enumerate(boxes) if box.type == _XMP]
    packet = edit(boxes[places[0]].payload if places else None)
    if packet is None:
        return data
    written = [box.whole for box in boxes]
    if places:
        written[places[0]] = new_box(_XMP, packet).whole
    else:
        types = [box.type for box in boxes]
        at = min(types.index(kind) for kind in (_WHOLE, _PART) if kind in types)
        written.insert(at, new_box(_XMP, packet).whole)
    return b"".join(written)


def _with_new_thumbnail(box: FileBox, thumbnailer: Thumbnailer) -> bytes:
    """A whole box; Exif with another thumbnail if it holds one, and unpacked then."""
    if box.type == _EXIF:
        exif = box.payload
    elif _packed_type(box) == _EXIF:
        exif = bytes(imagecodecs.brotli_decode(box.payload[4:]))
    else:
        return box.whole
    start = 4 + int.from_bytes(exif[:4], "big")  # of the TIFF header
    renewed = exif[:start] + with_new_thumbnail(exif[start:], thumbnailer)
    return box.whole if renewed == exif else new_box(_EXIF, renewed).whole


def _parts(boxes: list[FileBox]) -> list[bytes]:
    """The codestream as it is spread over the boxes of a file."""
    parts = []
    for box in boxes:
        if box.type == _WHOLE:
            parts.append(box.payload)
        elif box.type == _PART:
            parts.append(box.payload[_PART_NUMBER:])
    return parts


def _codestream(data: FileBytes, *, may_be_cut: bool = False) -> bytes:
    """The codestream of a file.

    Raises:
        CutShortError: It is not there.
    """
    if data.startswith(START):
        return bytes(data)
    boxes = list(read_boxes(data))
    parts = _parts(boxes)
    if not parts or (boxes[-1].missing and not may_be_cut):
        raise CutShortError("the file ends before its codestream does")
    return b"".join(parts)
