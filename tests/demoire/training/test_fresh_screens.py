"""Screens that are simulated anew for every batch take the place of the batch's own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demoire.errors import UsageError
from demoire.moire import KINDS
from demoire.training.config import DataConfig
from demoire.training.config_files import load_config, with_values
from demoire.training.data import PairSource, Sample
from demoire.training.field import FieldFolder
from demoire.training.fresh_screens import FreshScreens
from demoire.training.loop import train

CONFIG = DataConfig(size=64, batch=6, workers=0, drawn=0.0, fresh_scenes=3)
SCREEN = KINDS.index("screen")


@pytest.fixture(scope="module")
def fresh(scene_folder: Path) -> FreshScreens:
    return FreshScreens(PairSource(scene_folder, "train", CONFIG), CONFIG, "cpu")


def batch() -> Sample:
    """Black pairs: two screens, two prints and two clean ones."""
    kinds = [SCREEN, KINDS.index("halftone"), KINDS.index("none")]
    black = torch.zeros(6, 3, 64, 64, dtype=torch.uint8)
    return Sample(black, black.clone(), torch.tensor(2 * kinds))


def test_screens_are_new_and_all_else_is_as_it_was(fresh: FreshScreens) -> None:
    made = fresh.into(batch(), 7)
    is_screen = made.kind == SCREEN
    has_light = made.moire.flatten(1).any(dim=1)
    assert torch.equal(has_light, is_screen)
    assert not made.clean[~is_screen].any()
    difference = (made.moire.float() - made.clean.float())[is_screen]
    assert difference.square().mean(dim=(1, 2, 3)).sqrt().min() > 1.5, "they show moiré"


def test_they_depend_on_the_step_alone(fresh: FreshScreens) -> None:
    first = fresh.into(batch(), 3)
    fresh.into(batch(), 4)
    assert torch.equal(fresh.into(batch(), 3).moire, first.moire)
    assert not torch.equal(fresh.into(batch(), 5).moire, first.moire)


def test_a_stage_with_more_screens_than_the_first_gets_new_ones_too(scene_folder: Path) -> None:
    none_at_first = CONFIG.model_copy(update={"mix": {"halftone": 1.0}})
    source = PairSource(scene_folder, "train", none_at_first)
    made = FreshScreens(source, none_at_first, "cpu").into(batch(), 7)
    assert made.moire[made.kind == SCREEN].flatten(1).any(dim=1).all()


def test_a_batch_without_screens_is_left_alone(fresh: FreshScreens) -> None:
    without = replace(batch(), kind=torch.zeros(6, dtype=torch.int64))
    assert fresh.into(without, 1) is without


def test_a_run_with_fresh_screens_learns_something_else_and_is_resumed_bit_for_bit(
    scene_folder: Path, tmp_path: Path
) -> None:
    values = {"data.mix": {"screen": 1.0}, "data.fresh_scenes": 2, "steps": 2, "validate_every": 2}
    config = with_values(load_config("tiny-restorer"), values)
    whole = train(config, scene_folder, tmp_path / "whole")
    first = train(with_values(config, {"minutes": 1e-9}), scene_folder, tmp_path / "cut")
    assert first.step == 1
    rest = train(config, scene_folder, tmp_path / "cut", resume=True)
    plain = train(with_values(config, {"data.fresh_scenes": 0}), scene_folder, tmp_path / "plain")
    assert whole.weights is not None and rest.weights is not None and plain.weights is not None
    assert whole.weights.read_bytes() == rest.weights.read_bytes()
    assert whole.weights.read_bytes() != plain.weights.read_bytes()


def test_they_do_not_go_with_field_pictures(
    scene_folder: Path, field: FieldFolder, tmp_path: Path
) -> None:
    config = with_values(load_config("tiny-restorer"), {"data.fresh_scenes": 2})
    with pytest.raises(UsageError, match="leave out --field"):
        train(config, scene_folder, tmp_path, field=field)


def test_they_are_not_for_detectors() -> None:
    with pytest.raises(UsageError, match=r"data\.fresh_scenes is for restorers"):
        with_values(load_config("tiny-detector"), {"data.fresh_scenes": 2})
