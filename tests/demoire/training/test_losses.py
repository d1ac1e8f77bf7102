"""The losses: zero for the truth, and each part sees what it is there for."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2xyz, xyz2lab
from torch import Tensor
from torch.nn import functional as F

from demoire.measure.restoration import edges_kept
from demoire.training.config import DetectorLossConfig, RestorerLossConfig
from demoire.training.losses import (
    colour_loss,
    detector_loss,
    edge_loss,
    multi_scale_loss,
    restorer_loss,
    tone_loss,
)

CLEAN = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def _loss(restored: Tensor, clean: Tensor, config: RestorerLossConfig) -> Tensor:
    """With a truth that is known everywhere."""
    return restorer_loss(restored, clean, torch.ones(1, 1, 1, 1), config)


@pytest.mark.parametrize("pixel", ["charbonnier", "l1", "l2", "psnr"])
def test_truth_costs_next_to_nothing(pixel: str) -> None:
    config = RestorerLossConfig(pixel=pixel, frequency=0.1, colour=0.1)
    assert _loss(CLEAN, CLEAN, config) <= 1.001e-3
    assert _loss(CLEAN + 0.1, CLEAN, config) > 0.005


def test_multi_scale_part_sees_bands_and_not_dots() -> None:
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.2 - 0.1
    band = torch.where(torch.arange(64) < 32, 0.1, -0.1).expand(64, 64)
    assert multi_scale_loss(checkerboard.expand(1, 3, 64, 64), (4, 16)) < 1e-6
    for scales, loss in (((4, 16), 0.2), ((2, 4, 8), 0.3)):  # 0.1 at each of the scales
        assert multi_scale_loss(band.expand(1, 3, 64, 64).clone(), scales) == pytest.approx(
            loss, rel=1e-4
        )


def test_frequency_part_is_the_spectrum_of_the_difference() -> None:
    without = _loss(CLEAN * 0.9, CLEAN, RestorerLossConfig())
    both = _loss(CLEAN * 0.9, CLEAN, RestorerLossConfig(frequency=1.0))
    spectrum = torch.fft.rfft2(CLEAN * 0.9 - CLEAN, norm="ortho").abs().mean()
    assert both - without == pytest.approx(spectrum.item(), rel=1e-4)


def _chroma_from_afar(picture: Tensor) -> np.ndarray:
    """By scikit-image and SciPy: a* and b* of every fourth pixel of the picture blurred in linear
    light.
    """
    xyz = gaussian_filter(
        rgb2xyz(picture.permute(1, 2, 0).numpy()), (4, 4, 0), truncate=3, mode="mirror"
    )
    return xyz2lab(xyz[::4, ::4])[..., 1:]


def test_colour_part_is_the_distance_in_cielab_of_blurred_pictures() -> None:
    pink = (CLEAN * torch.tensor([1.0, 0.7, 0.9]).view(3, 1, 1) + 0.02).clamp(0, 1)
    distances = [
        np.linalg.norm(_chroma_from_afar(one) - _chroma_from_afar(other), axis=2)
        for one, other in zip(pink, CLEAN, strict=True)
    ]
    expected = (np.sqrt(np.square(distances) + 0.25) - 0.5).mean() / 100
    assert colour_loss(pink, CLEAN) == pytest.approx(expected, rel=2e-3)
    without, both = (_loss(pink, CLEAN, RestorerLossConfig(colour=weight)) for weight in (0.0, 1.0))
    assert both - without == pytest.approx(expected, rel=2e-3)


def test_colour_part_sees_coloured_bands_and_neither_grey_bands_nor_coloured_dots() -> None:
    grey = torch.full((1, 3, 64, 64), 0.5)
    wave = 0.1 * torch.sin(2 * torch.pi * torch.arange(64) / 32).expand(1, 1, 64, 64)
    dots = 0.1 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2 - 1.0).expand(1, 1, 64, 64)
    green = torch.tensor([0.0, 1, 0]).view(3, 1, 1)
    bands = colour_loss(grey + wave * green, grey)
    assert bands > 0.05
    assert colour_loss(grey + wave, grey) < 0.01 * bands
    # as light they mix to a little more green
    assert colour_loss(grey + dots * green, grey) < 0.25 * bands


def test_colour_part_has_a_finite_slope_for_the_truth_and_beyond_the_range() -> None:
    for start in (CLEAN, CLEAN * 3 - 1):
        restored = start.clone().requires_grad_()
        colour_loss(restored, CLEAN).backward()
        assert restored.grad is not None and restored.grad.isfinite().all()


def test_detector_loss_is_cross_entropy() -> None:
    logits, kinds = torch.randn(8, 4), torch.arange(8) % 4
    assert torch.allclose(
        detector_loss(logits, kinds, DetectorLossConfig()), F.cross_entropy(logits, kinds)
    )


def test_focal_loss_all_but_forgets_what_is_right_already() -> None:
    logits = torch.tensor([[4.0, 0, 0, 0], [0.0, 4, 0, 0]])
    kinds = torch.tensor([0, 0])  # the first right, the second wrong
    plain = [
        detector_loss(logits[i : i + 1], kinds[i : i + 1], DetectorLossConfig()) for i in range(2)
    ]
    focal = [
        detector_loss(logits[i : i + 1], kinds[i : i + 1], DetectorLossConfig(focal_gamma=2))
        for i in range(2)
    ]
    assert focal[0] < 0.01 * plain[0]
    assert focal[1] > 0.9 * plain[1]


def test_psnr_loss_is_a_tenth_of_the_decibels_short_of_fifty() -> None:
    clean = torch.full((2, 3, 32, 32), 0.5)
    restored = clean + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)  # 20 and 40 dB
    loss = _loss(restored, clean, RestorerLossConfig(pixel="psnr", multi_scale=0.0))
    assert loss.item() == pytest.approx((3 + 1) / 2, abs=0.03)


@pytest.mark.parametrize("pixel", ["charbonnier", "l1", "l2", "psnr"])
def test_the_loss_does_not_look_where_the_truth_is_not_known(pixel: str) -> None:
    config = RestorerLossConfig(pixel=pixel, frequency=0.1, colour=0.1, tone=0.1)
    known = torch.ones(2, 1, 64, 64)
    known[..., 20:40] = 0
    wrong = CLEAN.clone()
    wrong[..., 20:40] = 0.5
    truth = restorer_loss(CLEAN, CLEAN, known, config)
    assert restorer_loss(wrong, CLEAN, known, config) == pytest.approx(truth.item())
    assert restorer_loss(wrong + 0.1, CLEAN, known, config) > truth + 0.005


def test_tone_part_sees_the_mean_of_regions_and_no_pattern_within_them() -> None:
    pattern = (torch.arange(64) % 2 * 0.2 - 0.1).expand(1, 3, 64, 64).clone()
    assert tone_loss(pattern) < 1e-4
    one_step = tone_loss(torch.full((1, 3, 64, 64), 1 / 255))
    ten_steps = tone_loss(torch.full((1, 3, 64, 64), 10 / 255))
    assert 1.3 < one_step < 1.5
    assert ten_steps - one_step == pytest.approx(2.0, abs=0.03)  # 20 dB


def _steps() -> Tensor:
    """Grey squares with steep edges, (1, 3, 128, 128)."""
    squares = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    return squares.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3).repeat(1, 3, 1, 1)


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(picture.numpy(), (0, 0, sigma, sigma)))


def test_edge_part_is_what_the_benchmark_says_is_missing_of_the_edges() -> None:
    clean = _blurred(_steps(), 0.8)
    soft = _blurred(clean, 0.8)
    kept = edges_kept(soft[0].permute(1, 2, 0).numpy(), clean[0].permute(1, 2, 0).numpy())
    assert kept < 0.9
    assert edge_loss(soft, clean) == pytest.approx(1 - kept, abs=0.03)
    config = RestorerLossConfig(edges=2.0)
    added = _loss(soft, clean, config) - _loss(soft, clean, RestorerLossConfig())
    assert added == pytest.approx(2 * edge_loss(soft, clean).item(), rel=1e-3)


def test_edge_part_is_nothing_for_steeper_edges_and_where_there_are_none() -> None:
    clean = _blurred(_steps(), 0.8)
    assert edge_loss(clean, clean) < 1e-6
    assert edge_loss(_steps(), clean) == 0
    grain = 0.5 + (CLEAN - 0.5) / 255
    assert edge_loss(torch.full_like(grain, 0.5), grain) == 0
