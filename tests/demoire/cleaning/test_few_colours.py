"""What is dithered on purpose stays, though its dots are as regular as those of a print."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.simulate.scenes.photographs import photograph
from tests.demoire.cleaning.pictures import png


def red(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with so much red that the toy detector takes it for moiré."""
    reddened = picture.copy()
    reddened[..., 0] = 255
    return reddened


def dithered(picture: NDArray[np.uint8], colours: int) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    palette = image.quantize(colours)
    return np.array(image.quantize(palette=palette).convert("RGB"))


@pytest.fixture
def drawn() -> NDArray[np.uint8]:
    return np.array(photograph(np.random.default_rng(5), 512, 512))


@pytest.mark.parametrize("colours", [2, 8, 32])
def test_a_dithered_picture_stays(
    make_cleaner: Callable[..., Cleaner], drawn: NDArray[np.uint8], colours: int
) -> None:
    result = make_cleaner().clean(png(red(dithered(drawn, colours))))
    assert (result.status, result.reason) == ("copied", "dithered")
    assert result.moire_before > 0.9


def test_the_same_picture_in_all_its_colours_is_looked_at_further(
    make_cleaner: Callable[..., Cleaner], drawn: NDArray[np.uint8]
) -> None:
    result = make_cleaner().clean(png(red(drawn)))
    assert result.reason != "dithered"
    assert result.cells_restored or result.reason == "no_gain"


def test_only_the_dithered_part_of_a_page_stays(
    make_cleaner: Callable[..., Cleaner], drawn: NDArray[np.uint8]
) -> None:
    page = red(drawn)
    page[:, 256:] = red(dithered(drawn, 8))[:, 256:]
    result = make_cleaner().clean(png(page))
    assert result.reason != "dithered"
