"""The file formats that are known: those with a codec, and those that are only recognised.

A file's format is what its first bytes say. Its name only decides whether it counts as an image.
"""

import re
from typing import Any

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, count_in
from demoire.imaging.codecs import bmp, jp2, jpeg, jxl, png, tiff, webp
from demoire.imaging.codecs.base import Codec
from demoire.imaging.codecs.heif import AVIF, HEIC
from demoire.imaging.codecs.heif_coders import HEVC
from demoire.imaging.codecs.heif_picture import HeifHeader
from demoire.imaging.codecs.jp2 import Jpeg2000Header
from demoire.imaging.codecs.jxl import JxlHeader
from demoire.imaging.codecs.pillow import PillowHeader
from demoire.imaging.codecs.tiff_header import TiffHeader
from demoire.imaging.codecs.webp import WebpHeader
from demoire.imaging.facts import Format
from demoire.reasons import Reason

# The annotations make mypy hold each module against the protocol.
_JPEG: Codec[PillowHeader] = jpeg
_PNG: Codec[PillowHeader] = png
_TIFF: Codec[TiffHeader] = tiff
_WEBP: Codec[WebpHeader] = webp
_BMP: Codec[PillowHeader] = bmp
_JPEG2000: Codec[Jpeg2000Header] = jp2
_AVIF: Codec[HeifHeader] = AVIF
_HEIC: Codec[HeifHeader] = HEIC
_JXL: Codec[JxlHeader] = jxl
_CODECS: tuple[Codec[Any], ...] = (
    *(_JPEG, _PNG, _TIFF, _WEBP, _BMP),
    *(_JPEG2000, _AVIF, _HEIC, _JXL),
)
_BY_FORMAT = {codec.FORMAT: codec for codec in _CODECS}

HEIC_SUFFIXES = HEIC.SUFFIXES
IMAGE_SUFFIXES = frozenset().union(*(codec.SUFFIXES for codec in _CODECS))

# Recognised as images and counted as such, but copied as they are.
UNSUPPORTED_SUFFIXES = frozenset(
    {".gif", ".ico", ".tga", ".psd"}
    | {".pdf", ".djvu", ".svg", ".emf", ".wmf"}
    | {".pbm", ".pgm", ".ppm", ".pnm", ".exr", ".hdr"}
    | {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".pef", ".orf", ".rw2"}
    | {".raf", ".srw", ".3fr", ".iiq", ".erf", ".mrw", ".mef", ".mos", ".kdc", ".dcr", ".x3f"}
)

# (offset, bytes there, name) of the formats above, as far as they have a signature.
_UNSUPPORTED_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "GIF"),
    (4, b"ftypcrx ", "Canon CR3"),
    (0, b"IIU\0", "Panasonic RW2"),
    (0, b"IIRO", "Olympus ORF"),
    (0, b"IIRS", "Olympus ORF"),
    (0, b"MMOR", "Olympus ORF"),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm RAF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"\0\0\1\0", "Windows icon"),
    (0, b"P1", "PBM"),
    (0, b"P2", "PGM"),
    (0, b"P3", "PPM"),
    (0, b"P4", "PBM"),
    (0, b"P5", "PGM"),
    (0, b"P6", "PPM"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"\0MRM", "Minolta MRW"),
    (0, b"FOVb", "Sigma X3F"),
    (40, b" EMF", "EMF"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (0, b"\x01\0\x09\0", "WMF"),
)
# The root element of an XML document, behind its declaration, comments and document type.
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?+\s*+"
    rb"(?:(?><\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*+(?:\[[^\]]*+\])?+[^>]*+>)\s*+)*+"
    rb"<(?:\w++:)?+svg[\s>/]",
    re.DOTALL,
)
_SVG_BEGINNING = 1 << 16  # bytes in which that is looked for
_TGA_END = b"TRUEVISION-XFILE.\0"  # the one mark that a TGA has, and not in its first version
# Begins what a GIF says of a frame that is shown for a time: a graphic control extension.
_GIF_FRAME = b"\x21\xf9\x04"


def codec_of(format: Format) -> Codec[Any]:
    """The codec that reads and writes this format."""
    return _BY_FORMAT[format]


def can_clean_heic() -> bool:
    """Whether the extra `heif` is installed, without which HEIC is copied."""
    return HEVC.is_there()


def recognise(data: FileBytes) -> Codec[Any]:
    """The codec for a file, by its first bytes.

    Raises:
        ImageError: `unsupported_format`, `animated`, `not_an_image`, or `truncated` for an empty
            file.
    """
    for codec in _CODECS:
        if codec.recognises(data):
            return codec
    for offset, signature, name in _UNSUPPORTED_SIGNATURES:
        if data.startswith(signature, offset):
            raise _not_cleaned(data, name)
    if _SVG.match(data[:_SVG_BEGINNING]):
        raise _not_cleaned(data, "SVG")
    if data.endswith(_TGA_END):
        raise _not_cleaned(data, "TGA")
    if not data:
        raise ImageError(Reason.TRUNCATED, "The file is empty; fetch it again.")
    raise ImageError(
        Reason.NOT_AN_IMAGE,
        "The bytes are not those of an image that is known; check what the file is.",
    )


def _not_cleaned(data: FileBytes, name: str) -> ImageError:
    """Why a file of a format without a codec is copied."""
    if name == "GIF" and count_in(data, _GIF_FRAME) > 1:
        return ImageError(Reason.ANIMATED, "The GIF is a moving picture; it is copied as it is.")
    if name == "PDF":
        return ImageError(
            Reason.MULTI_PAGE, "The PDF is not taken apart here; it is copied as it is."
        )
    return ImageError(
        Reason.UNSUPPORTED_FORMAT,
        f"The image is of a format that is not cleaned, {name}; it is copied as it is.",
    )
