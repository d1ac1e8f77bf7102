"""BMP differs in the changed pixels alone."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.imaging.images import decode, encode
from tests.demoire.imaging.files import changed, saved


def test_a_bmp_differs_in_the_changed_pixels_alone(rgb: NDArray[np.uint8]) -> None:
    data = saved(Image.fromarray(rgb), "BMP")
    picture = decode(data)
    pixels = changed(picture)
    differing = np.frombuffer(encode(picture, pixels), np.uint8) != np.frombuffer(data, np.uint8)
    assert differing.sum() == (pixels != picture.pixels).sum()
