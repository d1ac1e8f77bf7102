"""The bands of a picture, against another way to the same wavelet."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from torch.nn import functional as F

from demoire.models.bands import CELL, Bands


def _starlet(plane: np.ndarray, count: int) -> list[np.ndarray]:
    """The same bands of a plane (h, w), by convolutions with holes on the plane itself."""
    bands = []
    for step in range(count):
        kernel = np.zeros(4 * 2**step + 1)
        kernel[:: 2**step] = np.array([1, 4, 6, 4, 1]) / 16
        smooth = convolve1d(
            convolve1d(plane, kernel, axis=1, mode="nearest"), kernel, axis=0, mode="nearest"
        )
        bands.append(plane - smooth)
        plane = smooth
    return bands


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(2, 3, 160, 192, generator=torch.Generator().manual_seed(0))


def test_bands_are_the_starlet_of_each_colour(picture: torch.Tensor) -> None:
    found = [F.pixel_shuffle(band, CELL) for band in Bands(4)(F.pixel_unshuffle(picture, CELL))]
    expected = _starlet(picture[1, 2].double().numpy(), 4)
    inside = slice(64, -64)  # at the edges squares are repeated, not pixels
    for band, plane in zip(found, expected, strict=True):
        assert np.abs(band[1, 2].numpy() - plane)[inside, inside].max() < 1e-6


def test_a_flat_picture_has_no_bands_not_even_at_its_edges() -> None:
    for band in Bands(4)(torch.full((1, 48, 16, 16), 0.7)):
        assert band.abs().max() < 1e-6


def test_what_the_bands_hold_goes_from_fine_to_coarse() -> None:
    """A wave of 3, 8 or 16 px is strongest in the first, second or third band."""
    x = torch.arange(256, dtype=torch.float32)
    for place, period in enumerate((3, 8, 16)):
        wave = torch.cos(2 * torch.pi * x / period).expand(1, 3, 256, 256)
        energy = [band.square().mean().item() for band in Bands(4)(F.pixel_unshuffle(wave, CELL))]
        assert int(np.argmax(energy)) == place
