"""Drawn scenes: the same seed the same picture, any size, spectra like nature's, and look-alikes
that do not alias.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from demoire.simulate.scenes.canvas import axes, stripes
from demoire.simulate.scenes.dithering import dither, draw_dithered_page
from demoire.simulate.scenes.drawings import SCENES
from demoire.simulate.scenes.lookalikes import LOOKALIKES
from demoire.simulate.scenes.materials import MATERIALS
from demoire.simulate.scenes.paintings import paint_on_canvas

DRAWINGS = SCENES | LOOKALIKES | MATERIALS


def _power(plane: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Power of a windowed plane, and the frequency in cycles per pixel, both (h, w)."""
    window = np.hanning(plane.shape[0])[:, None] * np.hanning(plane.shape[1])[None, :]
    power = np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2
    return power, np.hypot(
        np.fft.fftfreq(plane.shape[0])[:, None], np.fft.fftfreq(plane.shape[1])[None, :]
    )


@pytest.mark.parametrize("name", DRAWINGS)
def test_same_seed_gives_the_same_picture_and_another_seed_another(name: str) -> None:
    first, again, other = (
        DRAWINGS[name](np.random.default_rng(seed), 128, 160) for seed in (4, 4, 5)
    )
    assert first.shape == (128, 160, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 301), (300, 71)])
def test_any_shape_down_to_64_px(name: str, height: int, width: int) -> None:
    for seed in range(4):
        picture = DRAWINGS[name](np.random.default_rng(seed), height, width)
        assert picture.shape == (height, width, 3)
        assert np.ptp(picture) > 10  # something is to be seen


def test_the_threads_of_a_canvas_show_through_the_paint() -> None:
    """A period of 7 to 26 px stands out of the spectrum of a picture that has none."""
    grey = np.full((96, 128, 3), 130, np.uint8)
    peaks = []
    for seed in range(4):
        painting = paint_on_canvas(grey, 256, np.random.default_rng(seed))
        assert painting.shape == (256, 256, 3)
        power, frequency = _power(painting.mean(axis=2))
        band = power[(frequency > 1 / 30) & (frequency < 1 / 6)]
        peaks.append(band.max() / np.median(band))
    assert np.median(peaks) > 60


def test_dithering_keeps_the_tone_in_few_colours() -> None:
    ramp = np.linspace(20, 230, 96, dtype=np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (96, 96, 3)).copy()
    for seed in range(12):
        dithered = dither(picture, np.random.default_rng(seed))
        assert dithered.shape == picture.shape
        colours = np.unique(dithered.reshape(-1, 3), axis=0)
        assert len(colours) <= 8**3
        assert len(np.unique(dithered[..., 0])) <= 64
        assert not np.array_equal(dithered, picture)
        assert abs(dithered.mean() - picture.mean()) < 12


def test_a_dithered_page_is_the_same_for_the_same_seed() -> None:
    first, again, other = (
        draw_dithered_page(np.random.default_rng(seed), 128) for seed in (3, 3, 4)
    )
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_painting_shows_its_picture() -> None:
    picture = np.full((64, 64, 3), 60, np.uint8)
    picture[:, 32:] = 200
    painting = paint_on_canvas(picture, 256, np.random.default_rng(1)).astype(np.float32)
    assert painting.mean(axis=(0, 2)).max() > painting.mean(axis=(0, 2)).min() + 80


def test_photographs_have_the_spectrum_of_photographs() -> None:
    """Amplitude falls as 1/f^a, with a about 1 (Field 1987); power therefore with a slope of about
    -2.
    """
    slopes = []
    for seed in range(24):
        grey = SCENES["photograph"](np.random.default_rng(seed), 256, 256).mean(axis=2)
        power, frequency = _power(grey)
        rings = np.geomspace(0.015, 0.25, 9)
        mean = [
            power[(frequency >= a) & (frequency < b)].mean()
            for a, b in zip(rings, rings[1:], strict=False)
        ]
        slopes.append(np.polyfit(np.log(np.sqrt(rings[:-1] * rings[1:])), np.log(mean), 1)[0])
    assert -3.2 < np.median(slopes) < -1.6


@pytest.mark.parametrize("period", [4.0, 4.3, 5.7, 9.1])
@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 4])
def test_stripes_hold_their_own_frequencies_and_no_others(period: float, angle: float) -> None:
    """Hardly any power lies off the whole multiples of the stripes' frequency, and next to none
    where beats show.
    """
    plane = stripes(axes(256, 256, angle)[0], period, period * 0.4)
    power, frequency = _power(plane)
    fx, fy = np.fft.fftfreq(256)[None, :], np.fft.fftfreq(256)[:, None]
    own = np.zeros(power.shape, bool)
    for order in range(1, int(0.72 * period) + 1):
        for sign in (1, -1):
            at = sign * order / period
            own |= np.hypot(fx - at * np.cos(angle), fy - at * np.sin(angle)) < 0.02
    assert power[~own].sum() < 0.006 * power.sum()
    assert power[~own & (frequency < 0.12)].sum() < 0.0002 * power.sum()


@pytest.mark.parametrize("width", [0.0, 1.0, 2.0, 5.0])
def test_stripes_cover_the_share_they_ought_to(width: float) -> None:
    plane = stripes(axes(200, 200, 0.3)[0], 5.0, width)
    assert plane.mean() == pytest.approx(width / 5, abs=0.01)
    assert plane.min() >= -1e-3
    assert plane.max() <= 1 + 1e-3


def test_lookalikes_look_like_moire_to_a_spectrum() -> None:
    """The regular ones hold one narrow peak of the kind that moiré has: else they would be no hard
    negatives.
    """
    for name in ("blinds", "corduroy", "woven_cloth", "perforated_sheet", "grille"):
        peaks = []
        for seed in range(6):
            power, frequency = _power(
                LOOKALIKES[name](np.random.default_rng(seed), 256, 256).mean(axis=2)
            )
            band = power[(frequency > 0.02) & (frequency < 0.3)]
            peaks.append(band.max() / np.median(band))
        assert np.median(peaks) > 300, name
