"""Measures of likeness against independent implementations, and against what they should see."""

import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from demoire.measure.ciede2000 import ciede2000
from demoire.measure.likeness import block_ssim, colour_difference, psnr, ssim


def two_pictures(height: int, width: int, channels: int, dtype: type) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(3)
    full = np.iinfo(dtype).max
    smooth = gaussian_filter(rng.random((height, width, channels)), (3, 3, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    noisy = np.clip(smooth + rng.normal(0, 0.04, smooth.shape), 0, 1)
    return (smooth * full).astype(dtype), (noisy * full).astype(dtype)


def luma(picture: NDArray) -> NDArray:
    return (
        picture[:, :, 0].astype(float)
        if picture.shape[2] == 1
        else picture.astype(float) @ (0.299, 0.587, 0.114)
    )


def library_ssim(a: NDArray, b: NDArray) -> float:
    """SSIM of the luma by scikit-image, with the windows of the paper."""
    likeness = structural_similarity(
        luma(a),
        luma(b),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=float(np.iinfo(a.dtype).max),
    )
    return float(likeness)


CASES = [
    (300, 211, 3, np.uint8),
    (64, 80, 1, np.uint8),
    (140, 90, 3, np.uint16),
    (129, 40, 1, np.uint16),
]


@pytest.mark.parametrize("case", CASES)
def test_psnr_is_that_of_scikit_image(case: tuple) -> None:
    a, b = two_pictures(*case)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-6)
    assert psnr(a, a) == math.inf


@pytest.mark.parametrize("case", CASES)
def test_ssim_is_that_of_scikit_image_on_the_luma(case: tuple) -> None:
    a, b = two_pictures(*case)
    assert ssim(a, b) == pytest.approx(library_ssim(a, b), abs=2e-4)
    assert ssim(a, a) == pytest.approx(1)


def encoders_ssim(a: NDArray, b: NDArray) -> float:
    """SSIM of the luma in windows of 8 x 8 px at every fourth px, one after the other."""
    peak = float(np.iinfo(a.dtype).max)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    windows_a, windows_b = (
        sliding_window_view(np.rint(luma(picture)), (8, 8))[::4, ::4].reshape(-1, 64)
        for picture in (a, b)
    )
    figures = []
    for one, other in zip(windows_a, windows_b, strict=True):
        (variance_a, covariance), (_, variance_b) = np.cov(one, other)
        means = one.mean(), other.mean()
        likeness = (2 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
        figures.append(likeness * (2 * covariance + c2) / (variance_a + variance_b + c2))
    return float(np.mean(figures))


@pytest.mark.parametrize(
    "case", [(96, 72, 3, np.uint8), (64, 80, 1, np.uint8), (88, 44, 3, np.uint16)]
)
def test_ssim_of_blocks_is_that_of_video_encoders(case: tuple) -> None:
    a, b = two_pictures(*case)
    assert block_ssim(a, b) == pytest.approx(encoders_ssim(a, b), abs=2e-4)
    assert block_ssim(a, a) == 1


@pytest.mark.parametrize("corner", [(0, 0), (150, 90), (299, 210)])
def test_ssim_of_blocks_sees_a_single_pixel_wherever_it_is(corner: tuple[int, int]) -> None:
    a, _ = two_pictures(300, 211, 3, np.uint8)
    b = a.copy()
    b[corner] = 255 - b[corner]
    assert 1 - 1e-2 < block_ssim(a, b) < 1


def test_colour_difference_sees_a_single_row_or_column_wherever_it_is() -> None:
    plain = np.full((37, 43, 3), 120, np.uint8)
    for place in (np.s_[36], np.s_[16], np.s_[:, 42], np.s_[:, 3]):
        cast = plain.copy()
        cast[place] = 200
        assert 0 < colour_difference(plain, cast) < 10


def test_a_picture_smaller_than_the_window_has_figures_too() -> None:
    a, b = two_pictures(3, 9, 3, np.uint8)
    assert 0 < ssim(a, b) < 1 and 0 < block_ssim(a, b) < 1
    assert colour_difference(a, b) > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_difference_is_ciede2000_of_flat_fields(dtype: type) -> None:
    unit = np.iinfo(dtype).max // 255
    one, other = np.array([200, 120, 40]), np.array([190, 130, 60])
    a = (np.ones((64, 48, 3), dtype) * (one * unit)).astype(dtype)
    b = (np.ones((64, 48, 3), dtype) * (other * unit)).astype(dtype)
    expected = deltaE_ciede2000(rgb2lab(one / 255), rgb2lab(other / 255))
    assert colour_difference(a, b) == pytest.approx(float(expected), rel=1e-3)


def test_colour_difference_sees_a_cast_but_not_fine_coloured_stripes() -> None:
    plain = np.full((64, 64, 3), 120, np.uint8)
    striped, cast = plain.copy(), plain.copy()
    striped[:, ::2, 0] += 20
    striped[:, 1::2, 0] -= 20
    cast[:, :, 0] += 10
    assert colour_difference(plain, striped) < 0.1 < 2 < colour_difference(plain, cast)


def test_pictures_that_do_not_match_are_refused() -> None:
    a = np.zeros((8, 8, 3), np.uint8)
    for figure in (psnr, ssim, block_ssim, colour_difference):
        with pytest.raises(ValueError, match="cannot be compared"):
            figure(a, a.astype(np.uint16))
        with pytest.raises(ValueError, match="cannot be compared"):
            figure(a, a[:4])


def test_ciede2000_is_that_of_scikit_image_for_greys_and_opposite_hues_too() -> None:
    rng = np.random.default_rng(4)
    one = rng.integers(0, 256, (3000, 3), dtype=np.uint8)
    other = rng.integers(0, 256, (3000, 3), dtype=np.uint8)
    one[:300] = one[:300, :1]
    other[200:500] = other[200:500, :1]
    other[500:1000] = 255 - one[500:1000]

    expected = deltaE_ciede2000(rgb2lab(one / 255), rgb2lab(other / 255))

    np.testing.assert_allclose(ciede2000(one, other), expected, atol=0.01)


@pytest.mark.parametrize("corner", [(0, 0), (100, 30), (260, 170)])
def test_pictures_that_differ_in_one_place_have_the_figures_of_the_whole_picture(
    corner: tuple[int, int],
) -> None:
    top, left = corner
    part = np.s_[top : top + 40, left : left + 41]
    a, noisy = two_pictures(300, 211, 3, np.uint8)
    b = a.copy()
    b[part] = noisy[part]

    assert ssim(a, b) == pytest.approx(library_ssim(a, b), abs=1e-5)
    assert ssim(a, b) < 1 - 1e-4
