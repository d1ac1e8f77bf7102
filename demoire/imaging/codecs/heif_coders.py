"""The two codings of pictures in HEIF files: AV1 through imagecodecs, HEVC through pillow-heif.

Each codes samples into a file of its own, from which the coded picture is taken and put where the
old one was. So the coder decides about nothing else in the file. pillow-heif is the extra `heif`:
it brings x265, whose licence is the GPL.

Costs, one core: AV1 is coded at 3 MP/s and decoded at 70, HEVC coded at 0.6 and decoded at 20. A
lossy picture is coded three or four times, to find the quality that it had.

References:
    AV1 Codec ISO Media File Format Binding, 2.3 (av1C); ISO/IEC 14496-15, 8.3.3.1 (hvcC);
    ITU-T H.273 for the numbers of matrices, primaries and transfers.
"""

import importlib
import io
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import imagecodecs
import numpy as np
from PIL import AvifImagePlugin

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs import hevc_colours
from demoire.imaging.codecs.heif_boxes import read_items
from demoire.imaging.codecs.heif_splice import NewContent, without_properties
from demoire.imaging.codecs.least_quality import coded_as_large
from demoire.imaging.codecs.pillow import open_view
from demoire.imaging.codecs.raster import Pixels

IDENTITY = 0  # the matrix of pictures that are stored as red, green and blue
GREY = "400"
FULL_COLOUR = "444"
# Of 100, from which a lossy picture's is chosen.
_QUALITIES = (40, 50, 60, 68, 75, 82, 88, 93, 97)
# Of 10 (AV1), and by name (HEVC): as most programs have it, so that sizes can be compared.
_AV1_SPEED = 6
_HEVC_PRESET = "fast"
# Of a lossless grey picture, whose file says nowhere that it is lossless: how much longer than it
# was its lossless file may be. Other encoders make more effort.
_LOSSLESS_GROWTH = 1.3
# Apple and libheif turn and crop what they decode; the codecs see pictures as they are stored.
_TRANSFORMS = (b"irot", b"imir", b"clap")


@dataclass(frozen=True)
class Coding:
    """How a picture is stored.

    Attributes:
        bits: Of a sample: 8, 10 or 12.
        chroma: "400" for grey, "420", "422" or "444".
        primaries: Number of the colour primaries; 2 where nothing is said.
        transfer: Number of the transfer characteristics; 2 where nothing is said.
        matrix: Number of the matrix that makes luminance and chrominance of the colours.
    """

    bits: int
    chroma: str
    primaries: int
    transfer: int
    matrix: int


class Coder(Protocol):
    """One of the two codings."""

    item_type: bytes
    configuration_type: bytes

    def is_there(self) -> bool:
        """Whether what it needs is installed."""
        ...

    def bits_and_chroma(self, configuration: bytes) -> tuple[int, str]:
        """Bits of a sample, and which chrominance there is, as the configuration says.

        "unknown" stands for chrominance that is not written, such as of other bits.
        """
        ...

    def colours_in(self, configuration: bytes) -> tuple[int, int, int] | None:
        """Numbers of primaries, transfer and matrix that the coded picture itself states.

        None where it is not of full range, or where that is not known.
        """
        ...

    def decode(self, data: FileBytes) -> Pixels:
        """(H, W) or (H, W, S) samples of a file's picture as it is stored, 0..2^bits - 1."""
        ...

    def look_at(self, data: FileBytes) -> Pixels:
        """The same in 8 bits or more, of any file that can be shown at all."""
        ...

    def encode(self, samples: Pixels, coding: Coding, quality: int | None) -> bytes:
        """A file of its own with these samples, (H, W) or (H, W, 3); lossless without a quality."""
        ...


class Av1Coder:
    """AV1, as in AVIF."""

    item_type = b"av01"
    configuration_type = b"av1C"

    def is_there(self) -> bool:
        """Always: imagecodecs is among what the program needs anyway."""
        return True

    def bits_and_chroma(self, configuration: bytes) -> tuple[int, str]:
        """See `Coder`."""
        flags = configuration[2]
        bits = 8
        if flags & 0x40:
            bits = 12 if flags & 0x20 else 10
        is_grey = flags & 0x10
        if is_grey:
            return bits, GREY
        return bits, {0: FULL_COLOUR, 2: "422", 3: "420"}.get(flags >> 2 & 3, "unknown")

    def colours_in(self, configuration: bytes) -> tuple[int, int, int] | None:
        """See `Coder`. Not read: those who write AVIF state the colours in the file."""
        return None

    def decode(self, data: FileBytes) -> Pixels:
        """See `Coder`."""
        samples: Pixels = imagecodecs.avif_decode(data, numthreads=1)
        return samples

    def look_at(self, data: FileBytes) -> Pixels:
        """See `Coder`. imagecodecs 2026.3.6 corrupts its memory over sequences, Pillow does not."""
        view = open_view(AvifImagePlugin.AvifImageFile, data)
        view.load()
        return np.asarray(view)

    def encode(self, samples: Pixels, coding: Coding, quality: int | None) -> bytes:
        """See `Coder`."""
        options: dict[str, Any] = {"bitspersample": coding.bits, "speed": _AV1_SPEED}
        if quality is not None:
            options["level"] = quality
            options["primaries"] = coding.primaries
            options["transfer"] = coding.transfer
            options["matrix"] = coding.matrix
            if coding.chroma != GREY:
                options["pixelformat"] = coding.chroma
        return bytes(imagecodecs.avif_encode(samples, numthreads=1, **options))


class HevcCoder:
    """HEVC, as in HEIC."""

    item_type = b"hvc1"
    configuration_type = b"hvcC"

    def is_there(self) -> bool:
        """Whether the extra `heif` is installed."""
        return _pillow_heif() is not None

    def bits_and_chroma(self, configuration: bytes) -> tuple[int, str]:
        """See `Coder`."""
        chroma = {0: GREY, 1: "420", 2: "422", 3: FULL_COLOUR}[configuration[16] & 3]
        bits, chroma_bits = ((depth & 7) + 8 for depth in configuration[17:19])
        if chroma != GREY and chroma_bits != bits:
            return bits, "unknown"
        return bits, chroma

    def colours_in(self, configuration: bytes) -> tuple[int, int, int] | None:
        """See `Coder`."""
        return hevc_colours.colours_in(configuration)

    def decode(self, data: FileBytes) -> Pixels:
        """See `Coder`."""
        stored = without_properties(read_items(data), _TRANSFORMS)
        file = _needed().open_heif(stored, convert_hdr_to_8bit=False)
        samples: Pixels = np.asarray(file)
        if samples.dtype == np.uint16:
            samples = samples >> (16 - file.info["bit_depth"])
        return samples

    def look_at(self, data: FileBytes) -> Pixels:
        """See `Coder`."""
        return np.asarray(_needed().open_heif(without_properties(read_items(data), _TRANSFORMS)))

    def encode(self, samples: Pixels, coding: Coding, quality: int | None) -> bytes:
        """See `Coder`."""
        mode = "L" if samples.ndim == 2 else "RGB"
        if coding.bits > 8:
            mode = f"{mode};{coding.bits}"
        height, width = samples.shape[:2]
        out = io.BytesIO()
        _needed().encode(
            mode,
            (width, height),
            np.ascontiguousarray(samples).tobytes(),
            out,
            bit_depth=coding.bits,
            enc_params={"preset": _HEVC_PRESET},
            quality=-1 if quality is None else quality,
            chroma=None if coding.chroma == GREY else int(coding.chroma),
            color_primaries=coding.primaries,
            transfer_characteristics=coding.transfer,
            matrix_coefficients=coding.matrix,
            full_range_flag=1,
        )
        return out.getvalue()


AV1 = Av1Coder()
HEVC = HevcCoder()


def coded_like(coder: Coder, samples: Pixels, coding: Coding, old_bytes: int) -> NewContent:
    """Samples coded as an old picture was.

    Args:
        coder: Codes them.
        samples: (H, W, 1) grey or (H, W, 3) RGB, 0..2^bits - 1.
        coding: How the old one is stored.
        old_bytes: How many bytes it had: a lossy one gets the lowest quality that takes as many.
    """
    squeezed = samples[:, :, 0] if samples.shape[2] == 1 else samples
    squeezed = np.ascontiguousarray(squeezed)
    may_be_lossless = coding.matrix == IDENTITY or coding.chroma == GREY
    if may_be_lossless:
        lossless = _taken_out(coder, coder.encode(squeezed, coding, None))
        if coding.matrix == IDENTITY or len(lossless.payload) <= _LOSSLESS_GROWTH * old_bytes:
            return lossless

    def coded_at(quality: int) -> NewContent:
        return _taken_out(coder, coder.encode(squeezed, coding, quality))

    return coded_as_large(coded_at, _QUALITIES, lambda coded: len(coded.payload), old_bytes)


def _taken_out(coder: Coder, data: FileBytes) -> NewContent:
    """The picture of a file that was just written."""
    file = read_items(data)
    for box in file.properties_of(file.primary):
        if box.type == coder.configuration_type:
            return NewContent(file.content(file.primary), box)
    raise ValueError("the encoder wrote a picture without a configuration")


def _pillow_heif() -> ModuleType | None:
    """The module of the extra `heif`; None where it is not installed."""
    try:
        return importlib.import_module("pillow_heif")
    except ImportError:
        return None


def _needed() -> Any:
    module = _pillow_heif()
    if module is None:
        raise ValueError("pillow-heif is not installed")
    return module
