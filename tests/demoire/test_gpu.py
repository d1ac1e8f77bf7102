"""On a GPU: the shipped networks say and do what they do on the CPU, and what does not fit its
memory is cut smaller.

Skipped where there is none. Nothing here needs Ray or Prefect.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from demoire.cleaning.cleaner import load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, find_device, plan_for
from demoire.cleaning.grid import Grid
from demoire.models.networks import load_restorer
from demoire.simulate.batched.screens import draw_shots, photograph_screens
from demoire.simulate.scenes.drawings import SCENES
from demoire.simulate.simulator import simulate
from demoire.training.config_files import load_config, with_values
from demoire.training.loop import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

SIDE = 512


def engine_on(device: str) -> Engine:
    found = find_device(device)
    models = load_models(CleanerConfig(device=device), found)
    return Engine(models.detector, models.restorer, found)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    return simulate("screen", SCENES["photograph"](rng, 800, 800), SIDE, rng).moire


@pytest.fixture
def little_memory() -> Iterator[None]:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 300e6) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def restored(engine: Engine, picture: NDArray) -> NDArray[np.float64]:
    """How much the whole picture is changed, in units of full scale."""
    grid = Grid(SIDE, SIDE)
    windows = plan_for(engine, grid, range(len(grid)), side=SIDE)
    ((tile,),) = engine.restore(windows, [window.cut(picture) for window in windows])
    return (tile.pixels.astype(np.float64) - picture) / np.iinfo(picture.dtype).max


def cells(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    grid = Grid(SIDE, SIDE)
    return [grid.view(picture, cell) for cell in range(len(grid))]


def test_the_detector_says_the_same(picture: NDArray[np.uint8]) -> None:
    there, here = engine_on("cuda").judge(cells(picture)), engine_on("cpu").judge(cells(picture))
    assert np.abs(there - here).max() < 0.03
    assert here[:, 0].max() < 0.5, "the picture has moiré"


def test_the_restorer_does_the_same_but_for_rounding(picture: NDArray[np.uint8]) -> None:
    there, here = restored(engine_on("cuda"), picture), restored(engine_on("cpu"), picture)
    assert np.sqrt(np.square(here).mean()) > 4 / 255, "it has something to do"
    assert np.sqrt(np.square(there - here).mean()) < 0.5 / 255


def test_16_bits_stay_exact(picture: NDArray[np.uint8]) -> None:
    deep = picture.astype(np.uint16) * 257
    there, here = restored(engine_on("cuda"), deep), restored(engine_on("cpu"), deep)
    assert np.abs(there - here).max() < 2 / 65535


def test_what_does_not_fit_is_cut_smaller(picture: NDArray[np.uint8], little_memory: None) -> None:
    engine = engine_on("cuda")
    engine.batch_pixels = 1 << 26
    found = engine.judge(cells(picture))
    assert engine.batch_pixels < 1 << 26
    assert np.abs(found - engine_on("cpu").judge(cells(picture))).max() < 0.03


def test_screens_are_photographed_there_as_here() -> None:
    shots = draw_shots(4, 256, np.random.default_rng(1))
    drawn = SCENES["photograph"](np.random.default_rng(2), SIDE, SIDE)
    scenes = torch.from_numpy(drawn.transpose(2, 0, 1).copy()).expand(4, -1, -1, -1)
    here = photograph_screens(shots, scenes, torch.Generator())
    there = photograph_screens(shots, scenes.cuda(), torch.Generator("cuda"))
    off = there.clean.cpu().float() - here.clean.float()
    assert off.abs().mean() < 0.5
    assert torch.allclose(there.strength.cpu(), here.strength, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_trains_there_and_the_weights_load_here(
    precision: str, scene_folder: Path, tmp_path: Path
) -> None:
    values = {
        "device": "cuda",
        "precision": precision,
        "optimizer.kind": "muon",
        "data.fresh_scenes": 2,
        "steps": 4,
        "validate_every": 2,
    }
    config = with_values(load_config("tiny-restorer"), values)
    half = train(with_values(config, {"minutes": 1e-6}), scene_folder, tmp_path)
    assert half.step == 1
    whole = train(config, scene_folder, tmp_path, resume=True)
    assert whole.step == 4
    assert whole.weights is not None
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert (
            load_restorer(str(whole.weights))(x)
            - load_restorer(str(whole.weights), "cuda")(x.cuda()).cpu()
        ).abs().max() < 1e-4
