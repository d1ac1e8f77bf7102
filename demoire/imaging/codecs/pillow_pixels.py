"""Pixels of Pillow's images, and back."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.file_bytes import LARGE_BYTES
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels, Raster
from demoire.imaging.room import contiguous, let_go_behind, room_for
from demoire.reasons import Reason

_COPIED = 1 << 18  # px at a time


def grey_or_rgb(image: Image.Image) -> Raster:
    """The raster of a loaded 8-bit Pillow image in mode L, LA, RGB or RGBA."""
    samples = _samples_of(image)
    if image.mode in ("LA", "RGBA"):
        return Raster(contiguous(samples[:, :, :-1]), contiguous(samples[:, :, -1]))
    return Raster(samples)


def _samples_of(image: Image.Image) -> Pixels:
    """(H, W, S) samples of 8 bits; those of a large image are never twice in memory."""
    shape = (image.height, image.width, len(image.getbands()))
    if math.prod(shape) < LARGE_BYTES:
        return np.asarray(image).reshape(shape)
    samples = room_for(shape, np.uint8)
    stripes = in_stripes(Box(0, 0, *shape[:2]), _COPIED, columns=image.width)
    for stripe in let_go_behind(stripes, samples):
        part = image.crop((stripe.left, stripe.top, stripe.right, stripe.bottom))
        samples[stripe.slices] = np.asarray(part).reshape(stripe.height, stripe.width, -1)
    return samples


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


def to_image(pixels: Pixels, alpha: Pixels | None = None) -> Image.Image:
    """An 8-bit raster as a Pillow image in mode L, LA, RGB or RGBA."""
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    if pixels.shape[2] == 1:
        return Image.fromarray(pixels[:, :, 0])
    return Image.fromarray(pixels)
