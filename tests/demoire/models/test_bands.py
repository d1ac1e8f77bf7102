"""The bands of a picture, against another way to the same wavelet."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from torch.nn import functional as F

from demoire.imaging.boxes import Box
from demoire.models.bands import SQUARE, Bands, energies
from demoire.models.picture_bands import CHANNEL_ORDER, split_picture


def _starlet(plane: np.ndarray, count: int) -> list[np.ndarray]:
    """The same bands of a plane (h, w), by convolutions with holes on the plane itself."""
    bands = []
    for step in range(count):
        kernel = np.zeros(4 * 2**step + 1)
        kernel[:: 2**step] = np.array([1, 4, 6, 4, 1]) / 16
        smooth = convolve1d(plane, kernel, axis=1, mode="nearest")
        smooth = convolve1d(smooth, kernel, axis=0, mode="nearest")
        bands.append(plane - smooth)
        plane = smooth
    return bands


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(2, 3, 160, 192, generator=torch.Generator().manual_seed(0))


def _bands_of(picture: torch.Tensor, count: int) -> list[torch.Tensor]:
    """The bands as pictures."""
    bands = Bands(count)(F.pixel_unshuffle(picture, SQUARE))
    return [F.pixel_shuffle(band, SQUARE) for band in bands]


def test_bands_are_the_starlet_of_each_colour(picture: torch.Tensor) -> None:
    expected = _starlet(picture[1, 2].double().numpy(), 4)
    inside = slice(64, -64)  # at the edges squares are repeated, not pixels
    for band, plane in zip(_bands_of(picture, 4), expected, strict=True):
        assert np.abs(band[1, 2].numpy() - plane)[inside, inside].max() < 1e-6


def test_a_flat_picture_has_no_bands_not_even_at_its_edges() -> None:
    for band in Bands(4)(torch.full((1, 48, 16, 16), 0.7)):
        assert band.abs().max() < 1e-6


@pytest.mark.parametrize(("period", "strongest"), [(3, 0), (8, 1), (16, 2)])
def test_what_the_bands_hold_goes_from_fine_to_coarse(period: int, strongest: int) -> None:
    x = torch.arange(256, dtype=torch.float32)
    wave = torch.cos(2 * torch.pi * x / period).expand(1, 3, 256, 256)
    energy = [band.square().mean().item() for band in _bands_of(wave, 4)]
    assert int(np.argmax(energy)) == strongest


def test_energies_are_ten_times_the_rms_of_a_square_and_bounded() -> None:
    faint = torch.full((1, 48, 1, 1), 0.02)
    strong = torch.full((1, 48, 1, 1), 0.9)
    strengths = energies([faint, strong]).flatten()
    assert torch.allclose(strengths[:3], torch.tensor(0.2), atol=1e-3)
    assert torch.equal(strengths[3:], torch.full((3,), 4.0))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("part", [Box(0, 0, 80, 48), Box(3, 2, 71, 47)])
def test_opencv_splits_a_picture_into_the_same_bands_and_energies(
    picture: torch.Tensor, part: Box, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tall = picture.repeat(1, 1, 2, 1)[:1]
    squares = F.pixel_unshuffle(tall, SQUARE)
    expected = Bands(3)(squares)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    split = split_picture(tall[0].permute(1, 2, 0).contiguous().numpy(), 3, part)
    for band, by_convolutions in zip(split.bands, expected, strict=True):
        in_order = by_convolutions[0, list(CHANNEL_ORDER)].permute(1, 2, 0)[part.slices]
        assert (band.flatten(2) - in_order).abs().max() < 1e-6
    assert (split.strengths - energies(expected)).abs().max() < 1e-5
