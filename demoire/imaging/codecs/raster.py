"""Decoded pixels, and why they may not be changed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
