"""What a file is, by its first bytes."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.demoire.imaging.files import reason_of, saved


def test_files_that_are_no_images_are_told_from_those_not_cleaned(rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb)
    assert reason_of(b"<html>not found</html>") == "not_an_image"
    assert reason_of(b"") == "truncated"
    for format in ("GIF", "PPM", "ICO", "TGA"):
        assert reason_of(saved(image, format)) == "unsupported_format", format
    assert reason_of(saved(image, "PDF")) == "multi_page"
    other = Image.fromarray(rgb[::-1].copy())
    moving = saved(image, "GIF", save_all=True, append_images=[other], duration=90)
    assert reason_of(moving) == "animated"
