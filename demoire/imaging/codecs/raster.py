"""Decoded pixels, and why they may not be changed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.reasons import Reason

Pixels = NDArray[Any]  # uint8 or uint16; numpy has no word for "one of the two, throughout"


class CutShortError(ValueError):
    """The bytes end, or go bad, before the picture is complete."""


@dataclass(frozen=True)
class Raster:
    """The pixels of a file, as its codec gave them.

    Attributes:
        pixels: (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16 over their full range.
        alpha: (H, W) of the same type, which is passed through untouched; None without alpha.
        obstacle: Why changed pixels could not be written back faithfully; None if they can.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    obstacle: Reason | None = None


def to_full_range(samples: Pixels, bits: int) -> Pixels:
    """Samples of 9 to 15 bits over the full range of 16; of 16 bits as they are."""
    most = (1 << bits) - 1
    wide = np.minimum(samples, most).astype(np.uint32)
    full: Pixels = ((wide * 0xFFFF + most // 2) // most).astype(np.uint16)
    return full


def from_full_range(pixels: Pixels, bits: int) -> Pixels:
    """Samples of so many bits: the inverse of `to_full_range`, rounded."""
    most = (1 << bits) - 1
    samples: Pixels = ((pixels.astype(np.uint32) * most + 0x7FFF) // 0xFFFF).astype(np.uint16)
    return samples


def grey_or_rgb(image: Image.Image) -> Raster:
    """The raster of a loaded 8-bit Pillow image in mode L, LA, RGB or RGBA."""
    samples = np.asarray(image)
    if samples.ndim == 2:
        return Raster(samples[:, :, None])
    if image.mode in ("LA", "RGBA"):
        pixels = np.ascontiguousarray(samples[:, :, :-1])
        alpha = np.ascontiguousarray(samples[:, :, -1])
        return Raster(pixels, alpha)
    return Raster(samples)


# Why a picture is not cleaned, by Pillow's name of its mode, where there is more to say than that.
_OBSTACLES = {
    "1": Reason.BILEVEL,
    "P": Reason.PALETTE,
    "PA": Reason.PALETTE,
    "F": Reason.FLOAT_SAMPLES,
    "I": Reason.FLOAT_SAMPLES,
}


def only_to_look_at(image: Image.Image) -> Raster:
    """The first page of any Pillow image in 8 bits: enough to judge it, not to write it back.

    Returns:
        A raster with an obstacle, grey for modes of one channel and RGB for all others. Floats
        and 32-bit integers are stretched from their least to their greatest value.
    """
    obstacle = _OBSTACLES.get(image.mode, Reason.MODE_NOT_CLEANED)
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        stretched = _stretch(np.asarray(image, dtype=np.float32))
        return Raster(stretched[:, :, None], None, obstacle)
    # Scanned sheets in black and white are huge: three equal channels would only cost memory.
    if image.mode in ("1", "L", "LA"):
        return Raster(np.asarray(image.convert("L"))[:, :, None], None, obstacle)
    return Raster(np.asarray(image.convert("RGB")), None, obstacle)


def _stretch(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    low = float(values.min())
    high = float(values.max())
    scale = 255 / (high - low) if high > low else 0
    stretched: NDArray[np.uint8] = np.nan_to_num((values - low) * scale).astype(np.uint8)
    return stretched


def as_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Pixels uint8 or uint16 in 8 bits, the upper ones of 16; the same array if they are."""
    if pixels.dtype == np.uint8:
        return pixels
    return (pixels >> 8).astype(np.uint8)


def as_rgb8(pixels: Pixels) -> NDArray[np.uint8]:
    """(H, W, 1 or 3) uint8 or uint16 -> (H, W, 3) uint8; the same array if it is."""
    levels = as_8_bit(pixels)
    if levels.shape[2] == 1:
        return np.repeat(levels, 3, axis=2)
    return levels


def to_image(pixels: Pixels, alpha: Pixels | None = None) -> Image.Image:
    """An 8-bit raster as a Pillow image in mode L, LA, RGB or RGBA."""
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    if pixels.shape[2] == 1:
        return Image.fromarray(pixels[:, :, 0])
    return Image.fromarray(pixels)
