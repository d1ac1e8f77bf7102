"""What happens to a picture on its way into an archive: drawn, repeatable, and alike for twins."""

import numpy as np
import pytest

from demoire.simulate.processing import (
    ProcessingShares,
    draw_scale,
    process,
    source_side,
)

_NOTHING = ProcessingShares(sensor=0, noise=0, denoise=0, sharpen=0, gray=0, compress=0)


def _crop(side: int) -> np.ndarray:
    across = np.linspace(40, 200, side).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(across[None, :, None], (side, side, 3)))


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.4])
def test_the_result_has_the_size_asked_for(scale: float) -> None:
    crop = _crop(source_side(64, scale))
    result = process(crop, 64, np.random.default_rng(3))
    assert result.shape == (64, 64, 3)
    assert result.dtype == np.uint8


def test_equal_generators_treat_pictures_alike() -> None:
    """Down to the noise: twins differ where they differed before, and nowhere else."""
    crop = _crop(source_side(64, 1.0))
    marked = crop.copy()
    marked[:6, :6] ^= 0x10
    shares = ProcessingShares(sensor=1, denoise=0, sharpen=0, gray=0, compress=0)
    one, other = (process(c, 64, np.random.default_rng(5), shares) for c in (crop, marked))
    assert np.array_equal(one[16:, 16:], other[16:, 16:])


def test_without_steps_a_crop_is_only_cut() -> None:
    crop = _crop(source_side(64, 1.0))
    result = process(crop, 64, np.random.default_rng(0), _NOTHING)
    offsets = [(top, left) for top in range(17) for left in range(17)]
    cuts = (crop[top : top + 64, left : left + 64] for top, left in offsets)
    assert any(np.array_equal(result, cut) for cut in cuts)


def test_a_sensor_leaves_noise_of_colour() -> None:
    gray = np.full((80, 80, 3), 120, np.uint8)
    shares = ProcessingShares(sensor=1, denoise=0, sharpen=0, gray=0, compress=0)
    results = [process(gray, 64, np.random.default_rng(seed), shares) for seed in range(8)]
    spreads = [float((r[..., 0].astype(float) - r[..., 1]).std()) for r in results]
    assert max(spreads) > 2


def test_gray_results_have_no_colour() -> None:
    shares = ProcessingShares(gray=1, compress=0)
    crop = np.random.default_rng(1).integers(0, 255, (80, 80, 3)).astype(np.uint8)
    result = process(crop, 64, np.random.default_rng(1), shares)
    assert np.array_equal(result[..., 0], result[..., 2])


def test_scales_lie_between_the_bounds_and_half_of_them_are_one() -> None:
    rng = np.random.default_rng(0)
    scales = np.array([draw_scale(rng, 0.5, 1.5) for _ in range(400)])
    assert 0.5 <= scales.min() < 0.6
    assert 1.4 < scales.max() <= 1.5
    assert 0.4 < (scales == 1).mean() < 0.6
