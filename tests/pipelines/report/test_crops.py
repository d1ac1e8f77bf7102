"""Crops before and after: where the change is, in the image's own pixels."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from demoire.errors import ImageError
from pipelines.report.crops import preview_pair


def encoded(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG."""
    data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1]
    return data.tobytes()


def test_the_crop_is_where_the_change_is_in_the_images_own_pixels() -> None:
    before = np.full((700, 900, 3), 90, np.uint8)
    before[520:600, 700:780] = [200, 40, 40]
    after = np.full((700, 900, 3), 90, np.uint8)
    pair = preview_pair(encoded(before), encoded(after))
    one, other = (np.asarray(Image.open(BytesIO(data)).convert("RGB"), int) for data in pair)
    assert one.shape == other.shape == (288, 288, 3)
    red = one[..., 0] > 150
    assert red.sum() == pytest.approx(80 * 80, rel=0.05)
    assert np.abs(other - 90).max() <= 4


@pytest.mark.parametrize("shape", [(1, 1), (5, 900), (200, 100), (289, 287)])
def test_small_images_come_whole_as_far_as_they_go(shape: tuple[int, int]) -> None:
    before, after = np.full((*shape, 3), 250, np.uint8), np.zeros((*shape, 3), np.uint8)
    one, other = (
        Image.open(BytesIO(data)) for data in preview_pair(encoded(before), encoded(after))
    )
    assert one.size == other.size == (min(shape[1], 288), min(shape[0], 288))


def test_deep_and_grey_images_are_shown_too() -> None:
    deep = np.full((300, 300), 40_000, np.uint16)
    one, _ = preview_pair(encoded(deep), encoded(deep))
    assert np.asarray(Image.open(BytesIO(one)).convert("L")).mean() == pytest.approx(
        40_000 / 256, abs=2
    )


def test_images_of_two_sizes_are_no_pair() -> None:
    with pytest.raises(ValueError, match="sizes"):
        preview_pair(
            encoded(np.zeros((40, 40, 3), np.uint8)), encoded(np.zeros((40, 41, 3), np.uint8))
        )


def test_what_is_no_image_is_an_image_error() -> None:
    with pytest.raises(ImageError):
        preview_pair(b"no image", b"no image")
