"""The honest rival finds the blur that a search over all widths finds, and leaves alone what no
blur mends.
"""

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from demoire.measure.blur import WIDEST, oracle_blur


@pytest.fixture
def picture() -> np.ndarray:
    """(160, 200, 3) uint8: smooth shapes with an edge."""
    rng = np.random.default_rng(1)
    smooth = cv2.resize(
        rng.random((8, 10, 3)).astype(np.float32), (200, 160), interpolation=cv2.INTER_CUBIC
    )
    smooth[:, 120:] *= 0.5
    return (smooth.clip(0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("grain", [4.0, 15.0, 50.0])
def test_no_width_of_a_fine_search_does_better(picture: np.ndarray, grain: float) -> None:
    noise = np.random.default_rng(2).normal(0, grain, picture.shape)
    grainy = (picture + noise).clip(0, 255).astype(np.uint8)

    blurred, sigma = oracle_blur(grainy, picture)

    reached = peak_signal_noise_ratio(picture, blurred)
    search = (cv2.GaussianBlur(grainy, (0, 0), width) for width in np.arange(0.25, WIDEST, 0.05))
    assert reached >= max(peak_signal_noise_ratio(picture, rival) for rival in search) - 0.02
    assert reached > peak_signal_noise_ratio(picture, grainy)
    assert 0 < sigma < WIDEST


def test_more_grain_asks_for_a_wider_blur(picture: np.ndarray) -> None:
    noise = np.random.default_rng(3).normal(0, 1, picture.shape)
    little, much = ((picture + grain * noise).clip(0, 255).astype(np.uint8) for grain in (5, 60))
    assert oracle_blur(little, picture)[1] < oracle_blur(much, picture)[1]


def test_a_picture_that_is_the_truth_stays_as_it_is(picture: np.ndarray) -> None:
    blurred, sigma = oracle_blur(picture, picture)
    assert sigma == 0
    assert np.array_equal(blurred, picture)


def test_a_tint_over_the_whole_picture_is_nothing_that_a_blur_mends(picture: np.ndarray) -> None:
    tinted = (picture.astype(np.int16) + [20, 0, -20]).clip(0, 255).astype(np.uint8)
    blurred, _ = oracle_blur(tinted, picture)
    assert (
        peak_signal_noise_ratio(picture, blurred) < peak_signal_noise_ratio(picture, tinted) + 0.5
    )


def test_pictures_of_two_sizes_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shapes"):
        oracle_blur(picture, picture[:-1])
