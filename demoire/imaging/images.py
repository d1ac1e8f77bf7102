"""One image file in and out: decode it to pixels, encode changed pixels into the same file.

A cleaned file is the original with other pixel data: size, orientation (pixels are never turned),
DPI, colour profile, Exif, XMP, mode, bit depth and compression stay, because their bytes stay (see
`demoire.imaging.codecs`). What cannot carry changed pixels faithfully has `Picture.obstacle`, and
is copied.

Nothing but ImageError leaves this module for bad bytes (MemoryError where there is none left).
Files are opened by the decoder that their first bytes name and by no other, and without Pillow's
limit of pixels, which is a global of the process: the limits are checked on the header instead,
before anything is decoded. A file that is cut short is never decoded in part.

JPEG decodes at about 60 and encodes at about 25 MP/s a core; PNG is slower, by its compression.
"""

import io
import logging
import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from demoire.errors import ImageError
from demoire.imaging.codecs import bmp, jpeg, png, tiff, webp
from demoire.imaging.codecs.raster import CutShortError, Pixels, Raster
from demoire.reasons import Reason

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dib"}
)
# Recognised as images and kept count of, but copied as they are.
UNSUPPORTED_SUFFIXES = frozenset(
    {
        ".gif",
        ".jp2",
        ".j2k",
        ".jpx",
        ".jxl",
        ".avif",
        ".heic",
        ".heif",
        ".psd",
        ".pdf",
        ".djvu",
        ".ico",
        ".tga",
    }
    | {
        ".pbm",
        ".pgm",
        ".ppm",
        ".pnm",
        ".exr",
        ".hdr",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".svg",
        ".emf",
        ".wmf",
    }
)

MAX_MEGAPIXELS, MAX_SIDE = 500.0, 100_000  # what is decoded unless told otherwise; px
# A file that unpacks to so many bytes, and so many times its own, is a trap, or a sheet so blank
# that nothing is lost by leaving it be. Bytes a pixel by mode; else three, as what is judged is
# made RGB.
_BOMB_BYTES, _BOMB_RATIO = 128_000_000, 500
_BYTES_A_PIXEL = {"1": 1 / 8, "L": 1.0, "LA": 2.0}

Format = Literal["JPEG", "PNG", "TIFF", "WEBP", "BMP"]

# What Pillow has to say of odd metadata concerns nobody here: not as a log, and not as an exception
# under `-W error`.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class ImageFacts:
    """What the header says."""

    format: Format
    width: int
    height: int
    mode: str  # L, LA, RGB, RGBA, P, CMYK, 1...: Pillow's names, 16-bit grey is L with bits 16
    bits: int  # per sample
    dpi: float | None  # horizontal
    icc: str | None  # description of the colour profile
    pages: int

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6


@dataclass(frozen=True)
class Picture:
    """A decoded image with all that is needed to write it back."""

    facts: ImageFacts
    raster: Raster
    source: bytes  # the file as it came

    @property
    def pixels(self) -> Pixels:
        """(H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16 over the full range. Not to be written
        to.
        """
        return self.raster.pixels

    @property
    def alpha(self) -> Pixels | None:
        """(H, W), of the pixels' type."""
        return self.raster.alpha

    @property
    def obstacle(self) -> Reason | None:
        """Why changed pixels cannot be written back faithfully; None if they can.

        With an obstacle the pixels are the first page in 8 bits, to be judged but not cleaned.
        """
        return self.raster.obstacle


@dataclass(frozen=True)
class _Kind:
    """A format: its decoder of headers, and its codec."""

    name: Format
    open: Callable[[io.BytesIO], Image.Image]
    codec: ModuleType


_JPEG = _Kind("JPEG", JpegImagePlugin.jpeg_factory, jpeg)
_PNG = _Kind("PNG", PngImagePlugin.PngImageFile, png)
_TIFF = _Kind("TIFF", TiffImagePlugin.TiffImageFile, tiff)
_WEBP = _Kind("WEBP", WebPImagePlugin.WebPImageFile, webp)
_BMP = _Kind("BMP", BmpImagePlugin.BmpImageFile, bmp)
_KINDS = {kind.name: kind for kind in (_JPEG, _PNG, _TIFF, _WEBP, _BMP)}
_SIGNATURES: tuple[tuple[bytes, _Kind], ...] = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"II+\0", _TIFF),
    (b"MM\0+", _TIFF),
    (b"BM", _BMP),
)
# (place, bytes) of formats that are images but not cleaned yet.
_FOREIGN: tuple[tuple[int, bytes], ...] = (
    (0, b"GIF8"),
    (0, b"\0\0\0\x0cjP  "),
    (0, b"\xff\x4f\xff\x51"),  # JPEG 2000, bare
    (0, b"\xff\x0a"),  # JPEG XL, bare
    (0, b"\0\0\0\x0cJXL "),
    (4, b"ftypavif"),
    (4, b"ftypavis"),
    (4, b"ftyphei"),
    (4, b"ftyphev"),
    (4, b"ftypmif1"),
    (4, b"ftypcrx "),
    (0, b"8BPS"),
    (0, b"%PDF"),
    (0, b"AT&TFORM"),
    (0, b"\0\0\1\0"),  # icon
    (0, b"P1"),
    (0, b"P2"),
    (0, b"P3"),
    (0, b"P4"),
    (0, b"P5"),
    (0, b"P6"),
    (0, b"\x76\x2f\x31\x01"),  # OpenEXR
    (0, b"#?RADIANCE"),
    (0, b"<svg"),
)


def probe(data: bytes) -> ImageFacts:
    """The facts in the header; the first 64 KB of a file are usually enough.

    Raises ImageError: `not_an_image`, `unsupported_format`, `truncated` or `decode_failed`.
    """
    kind = _recognise(data)
    try:
        return _webp_facts(data) if kind is _WEBP else _facts(kind, data, _open(kind, data))
    except Exception as error:
        raise _image_error(kind, data, error) from error


def decode(
    data: bytes, *, max_megapixels: float = MAX_MEGAPIXELS, max_side: int = MAX_SIDE
) -> Picture:
    """The whole picture, decoded in this process; `demoire.imaging.guard.decode` is for files that
    one does not know.

    Raises ImageError: those of `check`, `truncated` or `decode_failed`.
    """
    facts = check(data, max_megapixels=max_megapixels, max_side=max_side)
    return Picture(facts, read(data, facts), data)


def check(
    data: bytes, *, max_megapixels: float = MAX_MEGAPIXELS, max_side: int = MAX_SIDE
) -> ImageFacts:
    """The facts in the header of a whole file, if it may be decoded.

    Raises ImageError: those of `probe`, `too_large` (MP, or px of the longer side) or
    `compression_bomb`.
    """
    facts = probe(data)
    if facts.megapixels > max_megapixels:
        raise ImageError(
            Reason.TOO_LARGE,
            f"The image has {facts.megapixels:.0f} MP and the limit is {max_megapixels:g}; raise --max-megapixels.",
        )
    side = max(facts.width, facts.height)
    if side > max_side:
        raise ImageError(
            Reason.TOO_LARGE,
            f"The image is {side} px long and the limit is {max_side}; raise --max-side.",
        )
    decoded = 1e6 * facts.megapixels * _BYTES_A_PIXEL.get(facts.mode, 3.0) * max(1, facts.bits // 8)
    if decoded > max(_BOMB_BYTES, _BOMB_RATIO * len(data)):
        raise ImageError(
            Reason.COMPRESSION_BOMB,
            f"{len(data)} bytes that unpack to {decoded / 1e6:.0f} MB are taken for a trap; look at the file by hand.",
        )
    return facts


def is_risky(data: bytes, facts: ImageFacts) -> bool:
    """Whether decoding this file should be left to a process that may die of it."""
    return bool(_KINDS[facts.format].codec.is_risky(data))


def read(data: bytes, facts: ImageFacts) -> Raster:
    """The pixels of a file whose header was checked. Raises ImageError: `truncated` or
    `decode_failed`.
    """
    kind = _KINDS[facts.format]
    # Another library in this process may have turned it on; a picture decoded in part must never
    # replace a file.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        if kind.codec.is_cut_short(data):
            raise ImageError(
                Reason.TRUNCATED,
                f"The {kind.name} file ends before its picture does; fetch it again.",
            )
        image = _open(kind, data)
        raster = kind.codec.read(data, image)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise _image_error(kind, data, error) from error
    if raster.pixels.shape[:2] != (facts.height, facts.width):
        raise ImageError(
            Reason.DECODE_FAILED, f"The {kind.name} file holds another size than its header says."
        )
    return Raster(raster.pixels, raster.alpha, Reason.MULTI_PAGE) if facts.pages > 1 else raster


def encode(picture: Picture, pixels: Pixels) -> bytes:
    """The picture's own file with these pixels, of the same shape and type as `picture.pixels`.

    The same format, mode, bit depth, alpha, metadata and way of compression as `picture.source`.
    Raises ImageError `encode_failed`; ValueError for a picture with an obstacle or pixels of
    another shape or type.
    """
    if (
        picture.obstacle
        or pixels.shape != picture.pixels.shape
        or pixels.dtype != picture.pixels.dtype
    ):
        raise ValueError(
            f"pixels {pixels.shape} {pixels.dtype} do not go into this picture ({picture.obstacle})"
        )
    try:
        return _KINDS[picture.facts.format].codec.write(
            picture.source, picture.raster, np.ascontiguousarray(pixels)
        )
    except Exception as error:
        raise ImageError(
            Reason.ENCODE_FAILED,
            f"The cleaned image could not be written as {picture.facts.format} again: {error}",
        ) from error


def _recognise(data: bytes) -> _Kind:
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _WEBP
    if any(data.startswith(signature, place) for place, signature in _FOREIGN):
        raise ImageError(
            Reason.UNSUPPORTED_FORMAT,
            "The image is of a format that is not cleaned; it is copied as it is.",
        )
    if not data:
        raise ImageError(Reason.TRUNCATED, "The file is empty; fetch it again.")
    raise ImageError(
        Reason.NOT_AN_IMAGE,
        "The bytes are not those of an image that is known; check what the file is.",
    )


def _open(kind: _Kind, data: bytes) -> Image.Image:
    image = kind.open(io.BytesIO(data))
    if not 1 <= min(image.size) <= max(image.size) < 1 << 31:
        raise ValueError(f"a size that cannot be, {image.size}")
    return image


def _image_error(kind: _Kind, data: bytes, error: Exception) -> ImageError:
    cut = isinstance(error, CutShortError)
    with suppress(Exception):  # the bytes are bad, and the question is only how
        cut = cut or kind.codec.is_cut_short(data)
    reason = Reason.TRUNCATED if cut else Reason.DECODE_FAILED
    said = "ends before its picture does" if cut else f"cannot be decoded ({error})"
    return ImageError(reason, f"The {kind.name} file {said}; fetch it again or look at it by hand.")


def _facts(kind: _Kind, data: bytes, image: Image.Image) -> ImageFacts:
    mode = "L" if image.mode.startswith("I;16") else image.mode
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow tells of it as it will be turned
        width, height = int(image.tag_v2[256]), int(image.tag_v2[257])
    return ImageFacts(
        format=kind.name,
        width=width,
        height=height,
        mode=mode,
        bits=_bits(kind, data, image),
        dpi=_dpi(image),
        icc=_profile_name(image.info.get("icc_profile")),
        pages=tiff.pages(data) if kind is _TIFF else _pages(image),
    )


def _webp_facts(data: bytes) -> ImageFacts:
    found = webp.header(data)
    mode = "RGBA" if found.alpha else "RGB"
    return ImageFacts(
        "WEBP", found.width, found.height, mode, 8, None, _profile_name(found.icc), found.frames
    )


def _bits(kind: _Kind, data: bytes, image: Image.Image) -> int:
    if kind is _PNG:
        return png.bits(data)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2.get(258, (1,))[0])
    return {"1": 1, "I": 32, "F": 32}.get(image.mode, 8)


def _dpi(image: Image.Image) -> float | None:
    try:
        dpi = float(image.info["dpi"][0])
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return dpi if math.isfinite(dpi) and dpi > 0 else None


def _profile_name(profile: bytes | None) -> str | None:
    if not profile:
        return None
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return "unreadable"
    return "".join(letter for letter in name if letter.isprintable()).strip() or "unnamed"


def _pages(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # the chain of pages leads beyond these bytes; the first one is there
        return 1
