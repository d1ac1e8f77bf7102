"""The losses: zero for the truth, and each part sees what it is there for."""

import pytest
import torch
from torch.nn import functional as F

from demoire.training.config import DetectorLossConfig, RestorerLossConfig
from demoire.training.losses import detector_loss, restorer_loss, wide_loss

CLEAN = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pixel", ["charbonnier", "l1", "l2"])
def test_truth_costs_next_to_nothing(pixel: str) -> None:
    config = RestorerLossConfig(pixel=pixel, frequency=0.1)
    assert restorer_loss(CLEAN, CLEAN, config) <= 1.001e-3
    assert restorer_loss(CLEAN + 0.1, CLEAN, config) > 0.005


def test_wide_part_sees_bands_and_not_dots() -> None:
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.2 - 0.1
    band = torch.where(torch.arange(64) < 32, 0.1, -0.1).expand(64, 64)
    assert wide_loss(checkerboard.expand(1, 3, 64, 64)) < 1e-6
    assert wide_loss(band.expand(1, 3, 64, 64).clone()) == pytest.approx(0.2, rel=1e-4)  # 0.1 at each of two scales


def test_frequency_part_is_the_spectrum_of_the_difference() -> None:
    without = restorer_loss(CLEAN * 0.9, CLEAN, RestorerLossConfig())
    both = restorer_loss(CLEAN * 0.9, CLEAN, RestorerLossConfig(frequency=1.0))
    spectrum = torch.fft.rfft2(CLEAN * 0.9 - CLEAN, norm="ortho").abs().mean()
    assert both - without == pytest.approx(spectrum.item(), rel=1e-4)


def test_detector_loss_is_cross_entropy() -> None:
    logits, kinds = torch.randn(8, 4), torch.arange(8) % 4
    assert torch.allclose(detector_loss(logits, kinds, DetectorLossConfig()), F.cross_entropy(logits, kinds))


def test_focal_loss_all_but_forgets_what_is_right_already() -> None:
    logits = torch.tensor([[4.0, 0, 0, 0], [0.0, 4, 0, 0]])
    kinds = torch.tensor([0, 0])  # the first right, the second wrong
    plain = [detector_loss(logits[i : i + 1], kinds[i : i + 1], DetectorLossConfig()) for i in range(2)]
    focal = [detector_loss(logits[i : i + 1], kinds[i : i + 1], DetectorLossConfig(focal_gamma=2)) for i in range(2)]
    assert focal[0] < 0.01 * plain[0]
    assert focal[1] > 0.9 * plain[1]
