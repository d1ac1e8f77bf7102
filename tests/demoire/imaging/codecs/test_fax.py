"""Faxes in TIFF: one whose strips lack rows is told, and no fax is turned."""

import io

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from demoire.imaging.images import decode
from tests.demoire.imaging.files import reason_of, saved

CODINGS = {
    "one dimension": ("group3", {}),
    "one dimension, bits turned": ("group3", {266: 2}),
    "two dimensions": ("group3", {292: 1}),
    "two dimensions, bits turned": ("group3", {266: 2, 292: 1}),
    "group 4": ("group4", {}),
    "group 4, 0 is black": ("group4", {262: 1}),
}


@pytest.fixture
def page() -> NDArray[np.bool_]:
    """400 rows of "letters" with a white margin; 1 is white."""
    page = np.ones((400, 300), bool)
    letters = np.random.default_rng(1).random((70, 55)) > 0.3
    page[60:340, 40:260] = letters.repeat(4, 0).repeat(4, 1)
    return page


@pytest.mark.parametrize("coding", CODINGS)
def test_a_fax_of_which_a_strip_is_cut_short_is_told(coding: str, page: NDArray[np.bool_]) -> None:
    compression, tags = CODINGS[coding]
    strips_of_100_rows = {278: 100, **tags}
    whole = saved(
        Image.fromarray(page), "TIFF", compression=compression, tiffinfo=strips_of_100_rows
    )
    picture = decode(whole)
    assert picture.obstacle == "bilevel"
    assert np.array_equal(picture.pixels[:, :, 0] == 255, page)
    for strip in (1, 2):
        assert reason_of(with_half_a_strip(whole, strip)) == "truncated"


def with_half_a_strip(data: bytes, strip: int) -> bytes:
    """A file in which half of the bytes of a strip are no longer its own."""
    file = io.BytesIO(data)
    with tifffile.TiffFile(file, mode="r+") as tiff:
        sizes = list(tiff.pages[0].databytecounts)
        sizes[strip] //= 2
        tiff.pages[0].tags["StripByteCounts"].overwrite(sizes)
        return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_is_only_looked_at_is_not_turned(
    orientation: int, page: NDArray[np.bool_]
) -> None:
    file = saved(Image.fromarray(page), "TIFF", compression="group4", tiffinfo={274: orientation})
    assert np.array_equal(decode(file).pixels[:, :, 0] == 255, page)
