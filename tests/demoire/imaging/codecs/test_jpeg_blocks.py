"""Of a JPEG only units that changed are coded anew; read here by Pillow, with its own libjpeg."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from demoire.imaging.codecs import jpeg, jpeg_blocks
from demoire.imaging.codecs.jpeg_coefficients import NewUnits, with_pixels
from demoire.imaging.codecs.libjpeg_target import Colours
from demoire.imaging.images import decode, encode
from tests.demoire.imaging.files import changed, saved

UNIT = 32  # px: no unit of any sampling here is larger


def seen(data: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(data)) as image:
        return np.atleast_3d(np.asarray(image)).astype(int)


def away_from(top: int, left: int, bottom: int, right: int, like: NDArray) -> NDArray[np.bool_]:
    """True where no unit lies that the rectangle touches, nor the pixel beside such a unit."""
    away = np.ones(like.shape[:2], bool)
    first_row, first_column = top // UNIT * UNIT, left // UNIT * UNIT
    end_row, end_column = -(-bottom // UNIT) * UNIT, -(-right // UNIT) * UNIT
    away[max(0, first_row - 1) : end_row + 1, max(0, first_column - 1) : end_column + 1] = False
    return away


def smooth(seed: int, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 11, channels), dtype=np.uint8)
    planes = [Image.fromarray(noise[:, :, i]).resize((width, height), 3) for i in range(channels)]
    return np.dstack([np.asarray(plane) for plane in planes])


def test_pixels_away_from_a_change_stay_as_they_were_seen(jpeg_files: dict[str, bytes]) -> None:
    for name, data in jpeg_files.items():
        picture = decode(data)
        written = encode(picture, changed(picture))
        before, after = seen(data), seen(written)
        away = away_from(20, 30, 60, 90, before)
        assert away.any(), name
        assert np.array_equal(before[away], after[away]), name
        assert np.abs(after - changed(picture)).mean() < 3, name


def test_sampling_that_no_usual_encoder_writes_is_kept() -> None:
    for sampling, factors in (("440", (1, 2)), ("411", (4, 1))):
        pixels = smooth(1, 90, 130)
        data = bytes(imagecodecs.jpeg8_encode(pixels, 90, subsampling=sampling))
        picture = decode(data)
        written = encode(picture, changed(picture))
        layers = JpegImagePlugin.JpegImageFile(io.BytesIO(written)).layer
        assert [layer[1:3] for layer in layers] == [factors, (1, 1), (1, 1)], sampling
        away = away_from(20, 30, 60, 90, pixels)
        assert np.array_equal(seen(data)[away], seen(written)[away]), sampling


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    quality=st.integers(20, 100),
    sampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_any_change_goes_where_it_belongs_and_nowhere_else(
    seed: int,
    size: tuple[int, int],
    quality: int,
    sampling: int,
    progressive: bool,
    corners: tuple[float, float, float, float],
) -> None:
    height, width = size
    options = {"quality": quality, "subsampling": sampling, "progressive": progressive}
    data = saved(Image.fromarray(smooth(seed, height, width)), "JPEG", **options)
    picture = decode(data)
    top, bottom = sorted(int(corner * height) for corner in corners[:2])
    left, right = sorted(int(corner * width) for corner in corners[2:])
    pixels = picture.pixels.copy()
    pixels[top:bottom, left:right] = 255 - pixels[top:bottom, left:right] // 2
    written = encode(picture, pixels)
    away = away_from(top, left, bottom, right, pixels)
    assert np.array_equal(seen(data)[away], seen(written)[away])
    whole = saved(Image.fromarray(pixels), "JPEG", **options)
    error = np.abs(seen(written) - pixels).mean()
    assert error <= np.abs(seen(whole) - pixels).mean() + 1


def test_a_picture_of_more_pixels_than_the_coder_takes_at_once_is_whole() -> None:
    pixels = smooth(5, 1900, 1500)
    data = saved(Image.fromarray(pixels), "JPEG", quality=80, subsampling=0)
    new = 255 - decode(data).pixels
    error = np.abs(seen(encode(decode(data), new)) - new)
    assert error.mean() < 1 and error.max() < 30


def test_a_picture_changed_all_over_is_coded_as_libjpeg_codes_it() -> None:
    for sampling in (0, 1, 2):
        options = {"quality": 88, "subsampling": sampling}
        picture = decode(saved(Image.fromarray(smooth(2, 90, 130)), "JPEG", **options))
        new = 255 - picture.pixels
        written = encode(picture, new)
        expected = saved(Image.fromarray(new), "JPEG", **options)
        assert np.array_equal(seen(written), seen(expected)), sampling


def test_codes_chosen_for_some_rows_do_for_what_is_in_no_other_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flat, but for noise in the first rows, which are not among those looked at."""
    pixels = np.full((1200, 600, 3), 128, np.uint8)
    picture = decode(saved(Image.fromarray(pixels), "JPEG", quality=95))
    new = pixels + np.uint8(1)
    new[:32] = np.random.default_rng(3).integers(0, 256, (32, 600, 3))
    monkeypatch.setattr(jpeg, "_code", None)  # nor is the picture coded by other means
    expected = saved(Image.fromarray(new), "JPEG", quality=95)
    assert np.array_equal(seen(encode(picture, new)), seen(expected))


def test_files_are_hardly_larger_than_with_codes_chosen_for_all_of_the_picture() -> None:
    grain = np.random.default_rng(4).normal(0, 6, (1000, 900, 3))
    pixels = np.clip(smooth(6, 1000, 900) + grain, 0, 255).astype(np.uint8)
    picture = decode(saved(Image.fromarray(255 - pixels), "JPEG", quality=90))
    smallest = saved(Image.fromarray(pixels), "JPEG", quality=90, optimize=True)
    assert len(encode(picture, pixels)) < 1.01 * len(smallest)


def test_a_picture_whose_blocks_cannot_be_replaced_is_coded_anew_as_a_whole(
    jpeg_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg_blocks, "with_pixels", lambda *arguments, **options: None)
    for name, data in jpeg_files.items():
        picture = decode(data)
        written = encode(picture, changed(picture))
        assert np.abs(seen(written) - changed(picture)).mean() < 3, name


def test_what_kills_the_coder_kills_nothing_else(jpeg_files: dict[str, bytes]) -> None:
    nothing = np.zeros((0, 0, 3), np.uint8)
    units = NewUnits(0, 0, np.zeros((0, 0), bool), are_all=False)
    garbage = b"\xff\xd8\xff\xc0\0\x0bgarbage"
    assert with_pixels(garbage, nothing, units, nothing, Colours.YCBCR) is None
    picture = decode(jpeg_files["4:4:4"])
    assert encode(picture, changed(picture))
