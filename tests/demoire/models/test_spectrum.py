"""Power spectra of tiles: noise is flat, what repeats is a peak, and where it lies does not
matter.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.models.spectrum import PLANES, WINDOW, log_spectra

GREEN, COLOUR = range(PLANES)


def _waves(down: float, across: float, amplitude: float = 0.01, side: int = 256) -> torch.Tensor:
    """Grey waves of so many cycles per window on mid grey, (1, 3, side, side)."""
    axis = torch.arange(side, dtype=torch.float32) * 2 * np.pi / WINDOW
    return (0.5 + amplitude * torch.cos(down * axis[:, None] + across * axis)).expand(
        1, 3, side, side
    )


def test_noise_has_its_variance_at_every_frequency() -> None:
    torch.manual_seed(0)
    spectra = log_spectra(0.5 + 0.1 * torch.randn(16, 3, 256, 256)).mean(dim=0)
    assert spectra.shape == (PLANES, WINDOW, WINDOW // 2 + 1)
    inner = spectra[:, 2:-2, 2:-2]  # away from the mean grey
    assert torch.allclose(inner[GREEN].exp(), torch.tensor(0.01), rtol=0.25)
    # of red less blue: both variances
    assert torch.allclose(inner[COLOUR].exp(), torch.tensor(0.02), rtol=0.25)


@given(down=st.integers(-30, 30), across=st.integers(3, 30), shift=st.integers(0, 63))
@settings(max_examples=40, deadline=None)
def test_a_wave_is_a_peak_at_its_frequency_wherever_it_lies(
    down: int, across: int, shift: int
) -> None:
    torch.manual_seed(0)
    picture = _waves(down, across).roll(shift, dims=3) + 0.02 * torch.randn(1, 3, 256, 256)
    spectrum = log_spectra(picture)[0, GREEN]
    spectrum[[-2, -1, 0, 1, 2], :3] = -np.inf  # the mean grey
    assert divmod(int(spectrum.argmax()), spectrum.shape[1]) == (down % WINDOW, across)
    assert log_spectra(picture)[0, COLOUR].amax() < spectrum.max() - 1, "it has no colour"


def test_colour_that_alternates_shows_in_red_less_blue() -> None:
    waves = _waves(0, 20)
    waves = torch.stack([waves[:, 0], torch.full_like(waves[:, 0], 0.5), 1 - waves[:, 0]], dim=1)
    green, colour = log_spectra(waves)[0]
    assert colour[0, 20] > green[0, 20] + 5


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 200), (256, 130)])
def test_what_is_no_whole_window_is_passed_by(height: int, width: int) -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, height, width)
    whole = picture[..., : height // WINDOW * WINDOW, : width // WINDOW * WINDOW]
    assert torch.equal(log_spectra(picture), log_spectra(whole.contiguous()))


def test_flat_pictures_and_bfloat16_around_it_leave_it_finite_and_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        spectra = log_spectra(torch.zeros(2, 3, 64, 64))
    assert spectra.dtype == torch.float32
    assert torch.isfinite(spectra).all()
