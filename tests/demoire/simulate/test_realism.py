"""Spectra, contrasts and colour wavelengths of pictures whose patterns are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from demoire.errors import UsageError
from demoire.simulate.arrays import SrgbPixels
from demoire.simulate.realism import BANDS, WAVELENGTHS, draw_spectra, measure, write_json


def waves(
    period: float, amplitude: tuple[float, float, float], side: int = 256, seed: int = 0
) -> SrgbPixels:
    """(side, side, 3): upright waves of this period (px) and amplitude for each colour, on grey
    with a little grain.
    """
    wave = np.sin(2 * np.pi * np.arange(side) / period)[None, :, None] * np.array(amplitude)
    grain = np.random.default_rng(seed).normal(0, 1, (side, side, 3))
    return (128 + wave + grain).round().clip(0, 255).astype(np.uint8)


def test_a_grey_wave_is_contrast_of_brightness_in_the_band_of_its_period() -> None:
    found = measure([waves(11, (20, 20, 20))])
    assert found.luma_contrast[BANDS.index("8-16 px")] == pytest.approx(20 / np.sqrt(2), rel=0.1)
    assert max(found.chroma_contrast) < 1
    assert (found.pictures, found.windows) == (1, 4)


def test_contrast_of_all_bands_together_is_that_of_the_picture() -> None:
    noise = (
        np.random.default_rng(1)
        .normal(128, 20, (256, 256, 1))
        .repeat(3, axis=2)
        .clip(0, 255)
        .astype(np.uint8)
    )
    total = np.sqrt(np.square(measure([noise]).luma_contrast).sum())
    # A quarter and a bit of the frequencies, near the corners, are shorter than 2 px in some
    # direction.
    assert total == pytest.approx(20 * np.sqrt(np.pi / 4), rel=0.1)


@pytest.mark.parametrize("period", [6, 13, 28])
def test_bands_of_colour_are_found_at_their_wavelength(period: float) -> None:
    clean = measure([waves(50, (20, 20, 20), seed=1)])
    found = measure([waves(period, (15, -8, 2))], clean)
    assert found.colour_wavelength == pytest.approx(period, rel=0.15)


def test_edges_of_the_content_do_not_hide_a_pattern_that_covers_all() -> None:
    picture = waves(9, (6, 6, 6), side=512)
    picture[:, 300:310] = 255
    assert measure([picture]).luma_contrast[BANDS.index("8-16 px")] == pytest.approx(
        6 / np.sqrt(2), rel=0.15
    )


def test_a_large_picture_does_not_outvote_the_others() -> None:
    assert (
        measure([np.zeros((1280, 1280, 3), np.uint8), np.zeros((128, 200, 3), np.uint8)]).windows
        == 36 + 1
    )


def test_figures_and_spectra_are_written(tmp_path: Path) -> None:
    sets = {"screen": measure([waves(9, (6, 0, 0))]), "real": measure([waves(19, (6, 0, 9))])}
    write_json(sets, tmp_path / "sheet.json")
    draw_spectra(sets, tmp_path / "spectra.png")
    found = json.loads((tmp_path / "sheet.json").read_text())
    assert (
        len(found["wavelengths"]) == len(found["sets"]["real"]["chroma_energy"]) == len(WAVELENGTHS)
    )
    assert (tmp_path / "spectra.png").stat().st_size > 5000


def test_pictures_too_small_and_places_that_cannot_be_written_are_one_sentence(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="at least 128 px"):
        measure([np.zeros((100, 300, 3), np.uint8)])
    with pytest.raises(UsageError, match="cannot be written"):
        write_json({}, tmp_path / "nowhere" / "sheet.json")
    with pytest.raises(UsageError, match="cannot be written"):
        draw_spectra({"real": measure([waves(9, (6, 0, 0))])}, tmp_path / "nowhere" / "spectra.png")
