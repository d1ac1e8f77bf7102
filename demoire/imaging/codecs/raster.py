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
    """What a file shows: (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16 over their full range."""

    pixels: Pixels
    alpha: Pixels | None = None  # (H, W), passed through untouched
    # why changed pixels could not be written back faithfully; None if they can
    obstacle: Reason | None = None


def grey_or_rgb(image: Image.Image) -> Raster:
    """The raster of a loaded 8-bit Pillow image in mode L, LA, RGB or RGBA."""
    samples = np.asarray(image)
    if samples.ndim == 2:
        return Raster(samples[:, :, None])
    if image.mode in ("LA", "RGBA"):
        return Raster(
            np.ascontiguousarray(samples[:, :, :-1]), np.ascontiguousarray(samples[:, :, -1])
        )
    return Raster(samples)


def only_to_look_at(image: Image.Image, obstacle: Reason) -> Raster:
    """The first page of any Pillow image in 8 bits, grey or RGB: enough to judge it, not to write
    it back.
    """
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        values = np.asarray(image, dtype=np.float32)
        low, high = float(values.min()), float(values.max())
        stretched = (values - low) * (255 / (high - low) if high > low else 0)
        return Raster(np.nan_to_num(stretched).astype(np.uint8)[:, :, None], None, obstacle)
    # a sheet of black and white in full size is large enough as it is
    if image.mode in ("1", "L", "LA"):
        return Raster(np.asarray(image.convert("L"))[:, :, None], None, obstacle)
    return Raster(np.asarray(image.convert("RGB")), None, obstacle)


def to_image(pixels: Pixels, alpha: Pixels | None = None) -> Image.Image:
    """An 8-bit raster as a Pillow image in mode L, LA, RGB or RGBA."""
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
