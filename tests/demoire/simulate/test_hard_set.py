"""Text on tints, and the folder of look-alikes: laid out so that training takes it as it is."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demoire.errors import UsageError
from demoire.imaging.rgb import read_rgb
from demoire.simulate.hard_set import HardSet, write_hard_set
from demoire.simulate.pairs import write_picture
from demoire.simulate.simulator import VISIBLE, Pair
from demoire.simulate.tinted_text import simulate_exposed_tinted_text, simulate_tinted_text
from demoire.training.field import FieldFolder

Printer: TypeAlias = Callable[[NDArray[np.uint8], int, np.random.Generator], Pair]

GREY = np.full((64, 64, 3), 120, np.uint8)


@pytest.mark.parametrize("printed", [simulate_tinted_text, simulate_exposed_tinted_text])
def test_tinted_text_differs_from_its_twin_by_the_dots(printed: Printer) -> None:
    for seed in range(4):
        pair = printed(GREY, 128, np.random.default_rng(seed))
        assert pair.strength >= VISIBLE
        change = pair.moire.astype(np.float32) - pair.clean
        wide = cv2.GaussianBlur(change, (0, 0), 12)
        assert change.std() > 2 * np.abs(wide).mean()


def test_a_restorer_is_not_asked_for_the_noise_of_the_scanner() -> None:
    wanted = simulate_tinted_text(GREY, 128, np.random.default_rng(5))
    scanned = simulate_exposed_tinted_text(GREY, 128, np.random.default_rng(5))
    assert np.array_equal(wanted.moire, scanned.moire)
    assert grain(wanted.clean) < 0.8 * grain(scanned.clean)


def grain(picture: NDArray[np.uint8]) -> float:
    """What is finer than 1.5 px in the calmest half of a picture, in 1/255."""
    light = picture.mean(axis=2)
    fine = np.abs(light - cv2.GaussianBlur(light, (0, 0), 1.5))
    return float(np.sort(fine, axis=None)[: fine.size // 2].mean())


def test_a_folder_of_lookalikes_is_a_folder_of_field_pictures(tmp_path: Path) -> None:
    textures = tmp_path / "textures"
    textures.mkdir()
    roof = np.zeros((96, 96, 3), np.uint8)
    roof[::12] = 200
    write_picture(textures / "roof.png", roof)
    out = tmp_path / "hard"
    write_hard_set(textures, out, HardSet(count=8, seed=142, size=64))
    part = FieldFolder(out).part("train")
    sources = {picture.source for picture in part.of("clean_hard")}
    assert {"surfaces", "paintings", "tinted_text", "dithered"} <= sources
    for moire in part.of("texture"):
        assert (out / "clean_hard" / moire.path.name).is_file()
    for dots in part.of("halftone"):
        assert (out / "clean_hard" / dots.path.name).is_file()
        assert read_rgb(dots.path).shape == (64, 64, 3)
    assert len(part.of("clean_hard")) == 8


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size": 65}, {"size": 20}])
def test_numbers_that_make_no_set_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        HardSet(**{"count": 1, "seed": 0} | wrong)
