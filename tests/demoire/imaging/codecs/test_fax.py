"""Faxes in TIFF: one whose strips lack rows is told, and no fax is turned."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from demoire.imaging.images import decode
from tests.demoire.imaging.files import page_of_type, reason_of, saved

CODINGS = {
    "one dimension": ("group3", {}),
    "one dimension, bits turned": ("group3", {266: 2}),
    "two dimensions": ("group3", {292: 1}),
    "two dimensions, bits turned": ("group3", {266: 2, 292: 1}),
    "group 4": ("group4", {}),
    "group 4, 0 is black": ("group4", {262: 1}),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_fax_of_which_a_strip_is_cut_short_is_told(coding: str) -> None:
    page = page_of_type()
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
def test_a_picture_that_is_only_looked_at_is_not_turned(orientation: int) -> None:
    page = page_of_type()
    file = saved(Image.fromarray(page), "TIFF", compression="group4", tiffinfo={274: orientation})
    assert np.array_equal(decode(file).pixels[:, :, 0] == 255, page)
