"""One image file in and out: decode it to pixels, encode changed pixels into the same file.

A cleaned file is the original with other pixel data: size, orientation (pixels are never turned),
DPI, colour profile, Exif, XMP, mode, bit depth and compression stay, because their bytes stay (see
`demoire.imaging.codecs`). What cannot carry changed pixels faithfully has `Picture.obstacle`, and
is copied.

Bad bytes raise nothing but ImageError here (MemoryError where memory runs out). A file is opened
only by the decoder that its first bytes name, and without Pillow's limit of pixels, which is a
global of the process: the limits are checked on the header instead, before anything is decoded. A
file that is cut short is never decoded in part.

The way in is `open_image`, `check`, `read`, and each takes what the one before returned, so that a
header is parsed once. `decode` takes all three steps; `demoire.imaging.guard` takes the last one in
a process that may crash.

JPEG decodes at about 60 and encodes at about 25 MP/s a core; PNG is slower, by its compression.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demoire.errors import ImageError, MachineError
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.base import Codec, Header
from demoire.imaging.codecs.pillow import whole_files_only
from demoire.imaging.codecs.raster import CutShortError, Pixels, Raster
from demoire.imaging.colour import View, view_of
from demoire.imaging.derived import StaleDataError
from demoire.imaging.facts import ImageFacts
from demoire.imaging.formats import codec_of, recognise
from demoire.imaging.limits import (
    MAX_MEGAPIXELS,
    MAX_SIDE,
    PICTURE_BOMB_BYTES,
    PICTURE_BOMB_RATIO,
    largest_file,
)
from demoire.imaging.provenance import Provenance
from demoire.imaging.room import in_room, let_go
from demoire.reasons import Reason
from demoire.temporary_files import room_for_files

# Bytes a pixel at 8 bits, by mode. All other modes are judged as RGB.
_BYTES_A_PIXEL = {"1": 1 / 8, "L": 1.0, "LA": 2.0}
_BYTES_AN_RGB_PIXEL = 3.0


@dataclass(frozen=True)
class OpenedImage:
    """An image file whose header was read, ready to be decoded once.

    Drop it after decoding: the decoder's own copy of the pixels lives as long as it does.
    """

    data: FileBytes
    codec: Codec[Any]
    header: Header

    @property
    def facts(self) -> ImageFacts:
        """What the header says."""
        return self.header.facts


@dataclass(frozen=True)
class Picture:
    """A decoded image with all that is needed to write it back."""

    facts: ImageFacts
    raster: Raster
    source: FileBytes  # the file as it came
    view: View | None = None  # None where the raster's samples are what the networks see
    gives_up_signature: bool = False  # a signed manifest is left out when it is written

    @property
    def pixels(self) -> Pixels:
        """What the networks see: (H, W, 1) grey or (H, W, 3) sRGB, uint8 or uint16; not writable.

        The samples of the file are in the raster.
        """
        return self.raster.pixels if self.view is None else self.view.pixels

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

    def without_signature(self) -> "Picture":
        """The picture with leave to be changed, if nothing but a signature forbids it."""
        if self.obstacle is not Reason.SIGNED:
            return self
        raster = replace(self.raster, obstacle=None)
        return replace(self, raster=raster, gives_up_signature=True)


def open_image(data: FileBytes) -> OpenedImage:
    """Recognise a file and read its header; nothing is decoded.

    Raises:
        ImageError: `not_an_image`, `unsupported_format`, `truncated` or `decode_failed`.
    """
    codec = recognise(data)
    try:
        with whole_files_only():
            header = codec.read_header(data)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise _image_error(codec, data, error) from error
    return OpenedImage(data, codec, header)


def probe(data: FileBytes) -> ImageFacts:
    """The facts in the header; the first 64 KB of a file are usually enough.

    Raises:
        ImageError: Those of `open_image`.
    """
    return open_image(data).facts


def check_size(size: int, max_megapixels: float) -> None:
    """Refuse a file that no picture needs to be so large, before it is read.

    Args:
        size: Of the whole file, bytes.
        max_megapixels: The most that is decoded, MP.

    Raises:
        ImageError: `too_large`.
    """
    largest = largest_file(max_megapixels)
    if size > largest:
        raise ImageError(
            Reason.TOO_LARGE,
            f"The file is of {size / 1e9:.1f} GB, more than the {largest / 1e9:.1f} GB of a "
            f"picture of {max_megapixels:g} MP; raise --max-megapixels.",
        )


def check(opened: OpenedImage, *, max_megapixels: float, max_side: int) -> None:
    """Refuse a whole file that is too large to decode.

    Args:
        opened: The file.
        max_megapixels: The most that is decoded, MP.
        max_side: The longest side that is decoded, px.

    Raises:
        ImageError: `too_large` or `compression_bomb`.
    """
    check_size(len(opened.data), max_megapixels)
    facts = opened.facts
    if facts.megapixels > max_megapixels:
        raise ImageError(
            Reason.TOO_LARGE,
            f"The image has {facts.megapixels:.0f} MP and the limit is {max_megapixels:g}; "
            "raise --max-megapixels.",
        )
    side = max(facts.width, facts.height)
    if side > max_side:
        raise ImageError(
            Reason.TOO_LARGE,
            f"The image is {side} px long and the limit is {max_side}; raise --max-side.",
        )
    packed = len(opened.data)
    unpacked = _unpacked_size(facts)
    if unpacked > max(PICTURE_BOMB_BYTES, PICTURE_BOMB_RATIO * packed):
        raise ImageError(
            Reason.COMPRESSION_BOMB,
            f"{packed} bytes that unpack to {unpacked / 1e6:.0f} MB are taken for a trap; "
            "look at the file by hand.",
        )


def _unpacked_size(facts: ImageFacts) -> float:
    """Bytes of the decoded pixels."""
    bytes_a_pixel = _BYTES_A_PIXEL.get(facts.mode, _BYTES_AN_RGB_PIXEL)
    bytes_a_sample = max(1, facts.bits // 8)
    return 1e6 * facts.megapixels * bytes_a_pixel * bytes_a_sample


def is_risky(opened: OpenedImage) -> bool:
    """Whether decoding this file should be left to a process that may die of it."""
    return opened.codec.is_risky(opened.data)


def read(opened: OpenedImage) -> Raster:
    """The pixels of a whole file, decoded in this process.

    Raises:
        ImageError: `truncated` or `decode_failed`.
    """
    codec = opened.codec
    data = opened.data
    facts = opened.facts
    try:
        if codec.is_cut_short(data):
            raise ImageError(
                Reason.TRUNCATED,
                f"The {codec.FORMAT} file ends before its picture does; fetch it again.",
            )
        with whole_files_only():
            raster = _in_room(codec.decode(data, opened.header))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise _image_error(codec, data, error) from error
    if raster.pixels.shape[:2] != (facts.height, facts.width):
        raise ImageError(
            Reason.DECODE_FAILED,
            f"The {codec.FORMAT} file holds another size than its header says.",
        )
    if facts.pages > 1:
        is_animated = facts.format in ("PNG", "WEBP")
        return replace(raster, obstacle=Reason.ANIMATED if is_animated else Reason.MULTI_PAGE)
    return raster


def _in_room(raster: Raster) -> Raster:
    """The raster with large planes in files, wherever the decoder has put them."""
    alpha = None if raster.alpha is None else in_room(raster.alpha)
    return replace(raster, pixels=in_room(raster.pixels), alpha=alpha)


def picture_of(opened: OpenedImage, raster: Raster) -> Picture:
    """The picture of a file, with its colours as the networks are to see them."""
    view = view_of(raster.pixels, opened.header.profile)
    return Picture(opened.facts, raster, opened.data, view)


def decode(
    data: FileBytes, *, max_megapixels: float = MAX_MEGAPIXELS, max_side: int = MAX_SIDE
) -> Picture:
    """The whole picture, decoded in this process.

    For files that one does not know there is `demoire.imaging.guard.decode_guarded`.

    Args:
        data: The whole file.
        max_megapixels: The most that is decoded, MP.
        max_side: The longest side that is decoded, px.

    Raises:
        ImageError: Those of `open_image`, `check` and `read`.
    """
    opened = open_image(data)
    check(opened, max_megapixels=max_megapixels, max_side=max_side)
    return picture_of(opened, read(opened))


def encode(picture: Picture, pixels: Pixels, note: Provenance | None = None) -> FileBytes:
    """The picture's own file with other pixels.

    Args:
        picture: The picture as it was decoded.
        pixels: New ones, of the same shape and type as `picture.pixels`.
        note: What is written into its XMP; None for nothing.

    Returns:
        A file of the same format, mode, bit depth, alpha, metadata and compression.

    Raises:
        ImageError: `encode_failed`.
        MachineError: There is no process to code it in.
        ValueError: The picture has an obstacle, or the pixels another shape or type.
    """
    old = picture.pixels
    if picture.obstacle or pixels.shape != old.shape or pixels.dtype != old.dtype:
        raise ValueError(
            f"pixels {pixels.shape} {pixels.dtype} do not go into this picture ({picture.obstacle})"
        )
    codec = codec_of(picture.facts.format)
    try:
        if picture.view is None:
            samples = np.ascontiguousarray(pixels)
        else:
            samples = picture.view.carried_back(picture.raster.pixels, pixels)
        with room_for_files():
            data = codec.encode(picture.source, picture.raster, samples)
            if note is not None:
                data = _with_note(codec, data, note)
    except MachineError:
        raise
    except StaleDataError as error:
        raise ImageError(
            Reason.STALE_DATA, f"The image cannot be cleaned: it holds {error}."
        ) from error
    except Exception as error:
        raise ImageError(
            Reason.ENCODE_FAILED,
            f"The cleaned image could not be written as {codec.FORMAT} again: {error}",
        ) from error
    for held in (old, pixels, picture.source, data):
        let_go(held)
    return data


def _with_note(codec: Codec[Any], data: FileBytes, note: Provenance) -> FileBytes:
    """The file with a note; without one where its metadata are too odd to add anything."""
    try:
        return codec.with_xmp(data, note.written_into)
    except OSError:  # of a full disk
        raise
    except Exception:  # whatever a reader of odd metadata stumbles over, the picture is sound
        return data


def _image_error(codec: Codec[Any], data: FileBytes, error: Exception) -> ImageError:
    """What an exception from a decoder means for the user: a file cut short, or a bad one."""
    is_cut_short = isinstance(error, CutShortError)
    if not is_cut_short:
        with suppress(Exception):  # the bytes are bad, and the question is only in which way
            is_cut_short = codec.is_cut_short(data)
    if is_cut_short:
        return ImageError(
            Reason.TRUNCATED,
            f"The {codec.FORMAT} file ends before its picture does; "
            "fetch it again or look at it by hand.",
        )
    return ImageError(
        Reason.DECODE_FAILED,
        f"The {codec.FORMAT} file cannot be decoded ({error}); "
        "fetch it again or look at it by hand.",
    )
