"""Every stage of cleaning alone, as fast as this machine can do it: what no arrangement of them can
exceed.

Each figure is megapixels of image a second, with all cores (or the GPU) given to that stage and
everything it needs at hand. The stages are the pipeline's own functions on the pipeline's own
shapes of work, so that a figure falls when one of them becomes slower. Restoring and encoding take
every tile as flagged.
"""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from demoire.cleaning.blend import blend
from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import Grid, Tile, plan_tiles
from demoire.imaging.images import Picture, decode, encode
from demoire.measure import likeness
from demoire.moire import CELL
from pipelines.clean.ledger import Ledger
from pipelines.plan.units import plan_members
from pipelines.records import Unit
from pipelines.rows import Origin, Outcome, quarantined
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.read import read_members

STAGES = ("decode", "detect", "restore", "encode", "fetch", "commit")

_PASSES = 3  # at least, after one that is not counted
_PICTURES = 4  # that a pass over the models takes


def measure_ceilings(
    collection: Path, out: Path, engine: Engine, tile: int, seconds: float
) -> dict[str, float]:
    """MP/s of each of `STAGES` over the images of a collection, about `seconds` spent on each.

    out: an empty folder, where commits go. tile: px, the side of the restorer's tiles.
    """
    units = _units(collection)
    files = [
        data
        for unit in units
        for _, data in read_members(unit.source, unit.members)
        if isinstance(data, bytes)
    ]
    sample = [Work.of(decode(data), engine, tile) for data in files[:_PICTURES]]
    cores = len(os.sched_getaffinity(0))
    turns = -(-2 * cores // len(sample))  # so that no core is without a picture to encode
    restored = [(work, work.restored(engine)) for work in sample] * turns
    with ThreadPoolExecutor(cores) as pool:
        some = files[: max(2 * cores, _PICTURES)]
        passes: dict[str, Callable[[], float]] = {
            "decode": lambda: sum(picture.facts.megapixels for picture in pool.map(decode, some)),
            "detect": lambda: sum(work.judged(engine) for work in sample),
            "restore": lambda: sum(work.megapixels for work in sample if work.restored(engine)),
            "encode": lambda: sum(pool.map(lambda pair: pair[0].encoded(pair[1]), restored)),
            "fetch": lambda: sum(map(_fetched, units)),
            "commit": _commits(units, Ledger(str(out))),
        }
        return {stage: rate(passes[stage], seconds) for stage in STAGES}


def rate(work: Callable[[], float], seconds: float) -> float:
    """Megapixels a second of `work`, which returns the megapixels it did.

    It is run once to warm up, then at least three times and for about `seconds`; the median of the
    runs counts, since a machine's neighbours disturb some of them.
    """
    work()
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while len(rates) < _PASSES or time.perf_counter() < end:
        start = time.perf_counter()
        megapixels = work()
        rates.append(megapixels / (time.perf_counter() - start))
    return float(np.median(rates))


def network_rate(
    network: nn.Module,
    shape: tuple[int, int, int],
    device: torch.device,
    seconds: float,
    *,
    bfloat16: bool = False,
) -> float:
    """MP/s of a network alone on (batch, height, width) inputs that lie on the device."""
    batch, height, width = shape
    x = torch.rand(batch, 3, height, width, device=device).contiguous(
        memory_format=torch.channels_last
    )

    def forward() -> float:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            network(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return batch * height * width / 1e6

    return rate(forward, seconds)


def restorer_rate(network: nn.Module, engine: Engine, tile: int, seconds: float) -> float:
    """MP/s of a restorer alone on the engine's device, in batches of inner tiles; `tile` as in
    `measure_ceilings`.
    """
    side = tile + 2 * engine.halo  # a multiple of what the restorer asks for, as both parts are
    shape = (max(1, engine.batch_pixels // side**2), side, side)
    return network_rate(
        network, shape, engine.device, seconds, bfloat16=engine.restores_in_bfloat16
    )


def detector_rate(network: nn.Module, engine: Engine, seconds: float) -> float:
    """MP/s of a detector alone on the engine's device, in batches of cells."""
    shape = (engine.batch_pixels // CELL**2, CELL, CELL)
    return network_rate(network, shape, engine.device, seconds, bfloat16=engine.judges_in_bfloat16)


@dataclass(frozen=True)
class Work:
    """One decoded picture with all of it to be done."""

    picture: Picture
    grid: Grid
    tiles: tuple[Tile, ...]

    @staticmethod
    def of(picture: Picture, engine: Engine, tile: int) -> "Work":
        grid = Grid(*picture.pixels.shape[:2])
        tiles = plan_tiles(
            grid, range(len(grid)), side=tile, halo=engine.halo, multiple=engine.multiple
        )
        return Work(picture, grid, tiles)

    @property
    def megapixels(self) -> float:
        return self.picture.facts.megapixels

    def judged(self, engine: Engine) -> float:
        """Megapixels that the detector saw."""
        engine.judge([self.grid.view(self.picture.pixels, cell) for cell in range(len(self.grid))])
        return self.megapixels

    def restored(self, engine: Engine) -> list[NDArray[np.floating]]:
        """What the restorer adds to each tile; tiles of one shape go together."""
        changes: dict[int, NDArray[np.floating]] = {}
        by_shape = sorted(range(len(self.tiles)), key=lambda number: self.tiles[number].shape)
        for _, group in itertools.groupby(by_shape, key=lambda number: self.tiles[number].shape):
            numbers = list(group)
            tiles = [self.tiles[number] for number in numbers]
            found = engine.restore(tiles, [tile.cut(self.picture.pixels) for tile in tiles])
            changes.update(zip(numbers, found, strict=True))
        return [changes[number] for number in range(len(self.tiles))]

    def encoded(self, changes: Sequence[NDArray[np.floating]]) -> float:
        """Megapixels blended, measured and written, as is done with every cleaned image."""
        old = self.picture.pixels
        new = blend(old, self.grid, range(len(self.grid)), self.tiles, changes)
        for measure in (likeness.psnr, likeness.ssim, likeness.colour_difference):
            measure(old, new)
        encode(self.picture, new)
        return self.megapixels


def _units(collection: Path) -> list[Unit]:
    return [
        unit
        for source in discover(str(collection))
        for unit in plan_members(source, index(source).members, "ceiling")
    ]


def _fetched(unit: Unit) -> float:
    return sum(member.megapixels for member, _ in read_members(unit.source, unit.members))


def _commits(units: Sequence[Unit], ledger: Ledger) -> Callable[[], float]:
    """A pass that commits every image as cleaned, under names that are new each time."""
    found = {unit.id: list(read_members(unit.source, unit.members)) for unit in units}
    times = itertools.count()

    def commit() -> float:
        number = next(times)
        for unit in units:
            again = replace(unit, id=f"{unit.id}-{number}")
            origin = Origin(unit=again, attempt=1, fingerprint="ceiling", run_id="ceiling")
            rows = (quarantined(member, "", origin).row for member in unit.members)
            outcomes = [
                Outcome(member, row, data if isinstance(data, bytes) else None)
                for (member, data), row in zip(found[unit.id], rows, strict=True)
            ]
            ledger.commit(again, ledger.start(again), outcomes)
        return sum(unit.megapixels for unit in units)

    return commit
