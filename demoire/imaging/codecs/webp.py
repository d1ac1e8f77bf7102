"""WebP: coded anew, lossless as lossless and lossy as lossy, with Exif, XMP and profile kept.

A lossy WebP does not say with which quality it was made, so it is written in a quality at which a
second coding is not seen; the file may grow. Animations are not cleaned.

References:
    Google, "WebP Container Specification": RIFF layout, VP8X, ALPH, ANMF and ICCP chunks.
    RFC 6386, section 9.1 (frame header of VP8), and RFC 9649, section 3.4 (header of VP8L).
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import WebPImagePlugin

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.pillow import open_view, profile_name
from demoire.imaging.codecs.pillow_pixels import grey_or_rgb, only_to_look_at, to_image
from demoire.imaging.codecs.raster import Pixels, Raster
from demoire.imaging.derived.exif import with_new_thumbnail
from demoire.imaging.derived.thumbnail import Thumbnailer
from demoire.imaging.facts import Format, ImageFacts
from demoire.reasons import Reason

FORMAT: Format = "WEBP"
SUFFIXES = frozenset({".webp"})

_EFFORT = 30  # lossless; with 95 files are 0.1 to 0.7 % smaller, and take 2 to 7 times as long
_QUALITY = 95
_RIFF_HEADER = 12  # "RIFF", the size of what follows, "WEBP"
_CHUNK_HEADER = 8  # type and size of the payload
# Flags in the first byte of VP8X.
_ANIMATED = 0x02
_ALPHA = 0x10
_PROFILED = 0x20
_HAS_XMP = 0x04
# Width and height less one, in 3 bytes each, in VP8X; in 14 bits each in VP8 and VP8L.
_SIDE_BITS = 0x3FFF
_XMP = b"XMP "
_MANIFEST = b"C2PA"  # see C2PA 2.1, A.3.4
_EXIF = b"Exif\0\0"
_METADATA = {"icc_profile": b"ICCP", "exif": b"EXIF", "xmp": _XMP}  # Pillow's names


@dataclass(frozen=True)
class WebpHeader:
    """The facts alone: for Pillow to open a WebP is to hand the whole file to libwebp."""

    facts: ImageFacts
    profile: bytes | None = None


@dataclass(frozen=True)
class _Chunk:
    """One chunk of a file."""

    type: bytes
    payload: bytes


def recognises(data: FileBytes) -> bool:
    """Whether the file is a RIFF container of type WEBP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read_header(data: FileBytes) -> WebpHeader:
    """The header, read from the first chunk without libwebp.

    Raises:
        ValueError: The first chunk holds no size.
    """
    chunk = next(_chunks(data), _Chunk(b"", b""))
    payload = chunk.payload
    if chunk.type == b"VP8X" and len(payload) >= 10:
        return _read_extended_header(data, payload)
    if chunk.type == b"VP8L" and len(payload) >= 5:
        # One byte of signature, then 14 bits of width - 1, 14 of height - 1, and one for alpha.
        packed = int.from_bytes(payload[1:5], "little")
        width = 1 + (packed & _SIDE_BITS)
        height = 1 + (packed >> 14 & _SIDE_BITS)
        has_alpha = bool(packed >> 28 & 1)
        return WebpHeader(_facts(width, height, has_alpha=has_alpha))
    if chunk.type == b"VP8 " and len(payload) >= 10:
        # Three bytes of frame tag and three of start code, then 14 bits a side and 2 of scale.
        width = int.from_bytes(payload[6:8], "little") & _SIDE_BITS
        height = int.from_bytes(payload[8:10], "little") & _SIDE_BITS
        if width and height:
            return WebpHeader(_facts(width, height, has_alpha=False))
    raise ValueError("no size in the first chunk")


def is_cut_short(data: FileBytes) -> bool:
    """Whether the file is shorter than its header says."""
    if len(data) < _RIFF_HEADER:
        return True
    size = int.from_bytes(data[4:8], "little")
    return len(data) < 8 + size


def is_risky(data: FileBytes) -> bool:
    """Always: libwebp has been broken into by pictures before."""
    return True


def decode(data: FileBytes, header: WebpHeader) -> Raster:
    """RGB pixels with their alpha; signed files only to look at."""
    view = open_view(WebPImagePlugin.WebPImageFile, data)
    view.load()
    if view.mode not in ("RGB", "RGBA"):
        return only_to_look_at(view)
    raster = grey_or_rgb(view)
    if any(chunk.type == _MANIFEST for chunk in _chunks(data)):
        return replace(raster, obstacle=Reason.SIGNED)
    return raster


def encode(data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
    """A new file, lossless if the old one was, with its profile, Exif and XMP.

    Raises:
        StaleDataError: Its Exif holds a thumbnail that cannot be made anew.
    """
    payloads: dict[bytes, bytes] = {}
    for chunk in _chunks(data):
        payloads.setdefault(chunk.type, chunk.payload)
    is_lossless = b"VP8L" in payloads
    options: dict[str, bool | bytes] = {"lossless": is_lossless, "exact": True}
    for name, chunk_type in _METADATA.items():
        if chunk_type in payloads:
            options[name] = payloads[chunk_type]
    if b"EXIF" in payloads:
        options["exif"] = _with_new_thumbnails(payloads[b"EXIF"], Thumbnailer(pixels))
    out = io.BytesIO()
    image = to_image(pixels, raster.alpha)
    quality = _EFFORT if is_lossless else _QUALITY
    image.save(out, "WEBP", quality=quality, method=4, **options)
    return out.getvalue()


def _with_new_thumbnails(exif: bytes, thumbnailer: Thumbnailer) -> bytes:
    """Exif data, which some writers begin as in a JPEG file."""
    head = _EXIF if exif.startswith(_EXIF) else b""
    return head + with_new_thumbnail(exif.removeprefix(_EXIF), thumbnailer)


def with_xmp(data: FileBytes, edit: EditXmp) -> FileBytes:
    """The file with another XMP packet, its last chunk if it is a new one."""
    chunks = list(_chunks(data))
    old = next((chunk.payload for chunk in chunks if chunk.type == _XMP), None)
    packet = edit(old)
    if packet is None:
        return data
    if chunks[0].type != b"VP8X":
        chunks.insert(0, _Chunk(b"VP8X", _extended_header(read_header(data).facts)))
    flags = chunks[0].payload[0] | _HAS_XMP
    chunks[0] = _Chunk(b"VP8X", bytes((flags,)) + chunks[0].payload[1:])
    written = []
    for chunk in chunks:
        payload = packet if chunk.type == _XMP else chunk.payload
        written.append(_whole_chunk(chunk.type, payload))
    if old is None:
        written.append(_whole_chunk(_XMP, packet))
    body = b"WEBP" + b"".join(written)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended_header(facts: ImageFacts) -> bytes:
    """The payload of a VP8X chunk: flags, three reserved bytes, width and height."""
    flags = _ALPHA if facts.mode == "RGBA" else 0
    width = (facts.width - 1).to_bytes(3, "little")
    height = (facts.height - 1).to_bytes(3, "little")
    return bytes((flags, 0, 0, 0)) + width + height


def _whole_chunk(kind: bytes, payload: bytes) -> bytes:
    """A chunk with its length, padded to an even size."""
    return kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)


def _chunks(data: FileBytes) -> Iterator[_Chunk]:
    """Each chunk; the last may be cut short."""
    offset = _RIFF_HEADER
    while offset + _CHUNK_HEADER <= len(data):
        chunk_type = data[offset : offset + 4]
        (size,) = struct.unpack_from("<I", data, offset + 4)
        start = offset + _CHUNK_HEADER
        yield _Chunk(chunk_type, data[start : start + size])
        padding = size % 2  # payloads are padded to an even size
        offset = start + size + padding


def _read_extended_header(data: FileBytes, payload: bytes) -> WebpHeader:
    """The header in a VP8X chunk: flags, three reserved bytes, width and height."""
    flags = payload[0]
    frames = 1
    if flags & _ANIMATED:
        frames = sum(1 for chunk in _chunks(data) if chunk.type == b"ANMF")
    profile = None
    if flags & _PROFILED:
        profile = next((chunk.payload for chunk in _chunks(data) if chunk.type == b"ICCP"), None)
    facts = _facts(
        width=1 + int.from_bytes(payload[4:7], "little"),
        height=1 + int.from_bytes(payload[7:10], "little"),
        has_alpha=bool(flags & _ALPHA),
        frames=max(1, frames),
        profile=profile,
    )
    return WebpHeader(facts, profile)


def _facts(
    width: int, height: int, *, has_alpha: bool, frames: int = 1, profile: bytes | None = None
) -> ImageFacts:
    return ImageFacts(
        format=FORMAT,
        width=width,
        height=height,
        mode="RGBA" if has_alpha else "RGB",
        bits=8,
        dpi=None,
        icc=profile_name(profile),
        pages=frames,
    )
