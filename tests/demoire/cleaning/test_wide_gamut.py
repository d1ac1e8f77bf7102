"""A picture in a wide RGB space comes out with the tone that its sRGB twin comes out with."""

import io

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import color

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig

SIDE = 256  # px
BLOCK = 32  # px, over which the dots of the print are averaged
SRGB = bytes(imagecodecs.cms_profile("srgb"))
WIDE = {
    "Adobe RGB": bytes(imagecodecs.cms_profile("adobergb")),
    "Display P3": bytes(
        imagecodecs.cms_profile(
            "rgb",
            whitepoint=[0.3127, 0.3290, 1],
            primaries=[0.680, 0.320, 1, 0.265, 0.690, 1, 0.150, 0.060, 1],
            gamma=2.2,
        )
    ),
}


def printed() -> NDArray[np.uint8]:
    """Saturated colours under three screens of dots, in sRGB."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    picture = np.stack([120 + 60 * np.sin(x / 60), 100 + 90 * y / SIDE, 150 - 80 * x / SIDE], 2)
    picture[(x - 128) ** 2 + (y - 140) ** 2 < 70**2] = (170, 90, 80)
    for channel, (degrees, period) in enumerate([(15, 5.3), (75, 5.3), (45, 5.1)]):
        angle = np.deg2rad(degrees)
        across = 2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle))
        along = 2 * np.pi / period * (y * np.cos(angle) - x * np.sin(angle))
        picture[:, :, channel] += 28 * (np.cos(across) + np.cos(along))
    return np.clip(picture, 0, 255).astype(np.uint8)


def converted(pixels: NDArray, profile: bytes, to: bytes, dtype: str = "u1") -> NDArray:
    return imagecodecs.cms_transform(
        pixels, profile, to, colorspace="rgb", outcolorspace="rgb", outdtype=dtype, intent=1
    )


def tone(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.float64]:
    """CIELAB of blocks, as colour management shows them."""
    shown = converted(pixels, profile, SRGB, "u2") / 65535
    rows = SIDE // BLOCK
    return color.rgb2lab(shown.reshape(rows, BLOCK, rows, BLOCK, 3).mean(axis=(1, 3)))


def shift(cleaner: Cleaner, pixels: NDArray[np.uint8], profile: bytes) -> float:
    """By how much cleaning moves the tone of a picture, CIEDE2000."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", icc_profile=profile)
    cleaned = cleaner.clean(file.getvalue())
    assert cleaned.status == "cleaned"
    new = np.asarray(Image.open(io.BytesIO(cleaned.data)))
    assert np.abs(new.astype(int) - pixels).mean() > 10, "the dots are still there"
    moved = color.deltaE_ciede2000(tone(pixels, profile), tone(new, profile))
    return float(moved.mean())


def test_a_wide_picture_shifts_no_more_than_its_srgb_twin() -> None:
    cleaner = Cleaner(CleanerConfig(gate="off", device="cpu"))
    pixels = printed()
    twin = shift(cleaner, pixels, SRGB)
    for name, profile in WIDE.items():
        assert shift(cleaner, converted(pixels, SRGB, profile), profile) < twin + 0.1, name
