"""Stages alone: that each is the pipeline's own work, all of it, and that a rate is megapixels over
seconds.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from demoire.cleaning.cleaner import load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine
from demoire.cleaning.windows import plan_windows
from demoire.imaging.images import decode
from pipelines.bench.ceilings import PictureWork, measure_ceilings, network_rate, rate
from pipelines.destination.ledger import Ledger
from pipelines.storage.open import open_place
from tests.pipelines.conftest import draw, tree, write_tar

SIDE = 600
TILE = 256


@pytest.fixture
def engine(tiny_config: CleanerConfig) -> Engine:
    models = load_models(tiny_config, torch.device("cpu"))
    return Engine(models.detector, models.restorer, torch.device("cpu"))


@pytest.fixture
def work(engine: Engine) -> PictureWork:
    """A picture of three cells a side, the last ones smaller."""
    return PictureWork.of(decode(draw(True, 0, side=SIDE)), engine, TILE)


def in_several_windows(work: PictureWork, engine: Engine) -> PictureWork:
    """The same work in windows of several shapes, as a large picture has them."""
    windows = plan_windows(
        work.grid,
        range(len(work.grid)),
        side=TILE,
        halo=32,
        multiple=engine.multiple,
        most=TILE**2,
    )
    return replace(work, windows=windows)


def test_every_stage_gets_a_rate_and_the_collection_stays_as_it_was(
    engine: Engine, tmp_path: Path
) -> None:
    box = tmp_path / "in"
    box.mkdir()
    write_tar(
        box / "box.tar", {f"{number}.jpg": draw(True, number, side=300) for number in range(5)}
    )
    before = tree(tmp_path / "in")

    ceilings = measure_ceilings(box, tmp_path / "out", engine, TILE, seconds=0.01)

    assert all(0 < mps < float("inf") for mps in asdict(ceilings).values())
    assert tree(box) == before


def test_commits_are_real_ones_each_pass_under_names_of_its_own(
    engine: Engine, tmp_path: Path
) -> None:
    box = tmp_path / "in"
    box.mkdir()
    pictures = {f"{number}.jpg": draw(True, number, side=300) for number in range(5)}
    write_tar(box / "box.tar", pictures)

    measure_ceilings(box, tmp_path / "out", engine, TILE, seconds=0.0)

    ledger = Ledger(open_place(str(tmp_path / "out")))
    passes = [ledger.read(unit_id) for unit_id in ledger.committed()]
    assert len(passes) == 4, "one to warm up, three that count"
    for commit in passes:
        assert commit.images == 5
        assert ledger.segment(commit) == b"".join(pictures.values())


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        "pipelines.bench.ceilings.time", SimpleNamespace(perf_counter=clock.perf_counter)
    )
    return clock


def taking(clock: Clock, durations: list[float], megapixels: float) -> Callable[[], float]:
    """PictureWork of so many megapixels that takes these seconds, one after another."""
    waiting = iter(durations)

    def work() -> float:
        clock.now += next(waiting)
        return megapixels

    return work


def test_a_rate_is_the_median_of_its_runs_without_the_first(clock: Clock) -> None:
    assert rate(taking(clock, [500, 2, 1, 100], megapixels=10), seconds=1) == 5


def test_short_work_is_repeated_until_the_time_is_over(clock: Clock) -> None:
    # an eleventh run would find nothing left
    assert rate(taking(clock, [1] * 11, megapixels=3), seconds=10) == 3
    assert clock.now == 11


def test_a_network_gets_whole_batches_channels_last() -> None:
    seen: list[Tensor] = []

    class Watcher(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x

    assert network_rate(Watcher(), (2, 32, 64), torch.device("cpu"), seconds=0.0) > 0

    assert len(seen) == 4 * torch.get_num_threads()
    for x in seen:
        assert x.shape == (2, 3, 32, 64)
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert x.min() >= 0 and x.max() <= 1


def test_a_network_that_does_more_pixels_in_the_same_time_is_faster(clock: Clock) -> None:
    class Second(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            clock.now += 1
            return x

    assert network_rate(Second(), (5, 400, 500), torch.device("cpu"), seconds=1) == 1


def test_on_a_cpu_a_network_computes_a_batch_on_each_core() -> None:
    threads: list[int] = []

    class Watcher(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            threads.append(torch.get_num_threads())
            return x

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    network_rate(Watcher(), (1, 32, 32), torch.device("cpu"), seconds=0.0)
    torch.set_num_threads(before)
    assert threads == [1] * 8


def test_all_of_a_picture_is_judged_restored_and_written(work: PictureWork, engine: Engine) -> None:
    assert work.megapixels == pytest.approx(0.36)
    assert work.judged(engine) == work.megapixels
    assert work.encoded(work.restored(engine)) == work.megapixels
    covered = sum(tile.core.height * tile.core.width for tile in work.tiles)
    assert covered == SIDE**2


def test_windows_that_were_restored_in_groups_come_back_in_their_order(
    work: PictureWork, engine: Engine
) -> None:
    work = in_several_windows(work, engine)
    restored = work.restored(engine)

    assert len({window.shape for window in work.windows}) > 1
    for window in work.windows:
        (of_window,) = engine.restore([window], [window.cut(work.picture.pixels)])
        for tile, alone in zip(window.tiles, of_window, strict=True):
            np.testing.assert_array_equal(restored[tile.number].pixels, alone.pixels)
