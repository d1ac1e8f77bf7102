"""Any picture file as 8-bit RGB, with the pixels that the cleaner sees."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging.rgb import decode_rgb, read_rgb
from tests.demoire.imaging.files import saved

LYING = 6  # value of the orientation tag: turn by 90 degrees to look at


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)


def test_a_jpeg_has_the_pixels_that_opencv_sees(picture: NDArray[np.uint8]) -> None:
    data = saved(Image.fromarray(picture), "JPEG", quality=85)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_rgb(data), by_opencv[:, :, ::-1])


def test_grey_becomes_three_equal_channels(picture: NDArray[np.uint8]) -> None:
    grey = picture[:, :, 0]
    rgb = decode_rgb(saved(Image.fromarray(grey), "PNG"))
    assert np.array_equal(rgb, np.dstack([grey, grey, grey]))


def test_of_sixteen_bits_the_high_ones_are_kept(picture: NDArray[np.uint8]) -> None:
    deep = picture.astype(np.uint16) * 256 + 255
    assert np.array_equal(decode_rgb(imagecodecs.png_encode(deep)), picture)


def test_alpha_is_left_out(picture: NDArray[np.uint8]) -> None:
    with_alpha = np.dstack([picture, picture[:, :, 0]])
    assert np.array_equal(decode_rgb(saved(Image.fromarray(with_alpha), "PNG")), picture)


def test_a_picture_that_lies_on_its_side_is_not_turned(picture: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = LYING
    data = saved(Image.fromarray(picture), "PNG", exif=exif.tobytes())
    assert np.array_equal(decode_rgb(data), picture)


def test_palettes_and_cmyk_can_be_read_although_they_are_not_cleaned(
    picture: NDArray[np.uint8],
) -> None:
    image = Image.fromarray(picture)
    for data in (saved(image.quantize(40), "PNG"), saved(image.convert("CMYK"), "TIFF")):
        assert decode_rgb(data).shape == picture.shape


def test_what_is_no_picture_is_an_error_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ImageError, match="not those of an image"):
        read_rgb(path)
