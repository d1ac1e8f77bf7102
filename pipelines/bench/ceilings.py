"""Every stage of cleaning alone, as fast as this machine can do it.

No arrangement of the stages can be faster than these figures. Each is megapixels of image a second,
with all cores (or the GPU) given to that stage and everything it needs at hand. On a CPU the models
work as in the cleaner: a piece of work to a core, beside each other. The stages are the
pipeline's own functions on the pipeline's own shapes of work, so a figure falls when one of them
becomes slower. Restoring and encoding take every tile as flagged.
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
from torch import nn

from demoire.cleaning.blend import blend
from demoire.cleaning.engine import Engine, RestoredTile, plan_for
from demoire.cleaning.grid import Grid
from demoire.cleaning.lanes import lanes_on
from demoire.cleaning.threads import take_threads
from demoire.cleaning.windows import Tile, Window, tiles_of
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.images import Picture, decode, encode
from demoire.measure import likeness
from demoire.moire import CELL
from pipelines.bench.figures import Ceilings
from pipelines.destination.ledger import Ledger
from pipelines.plan.units import plan_members
from pipelines.records import Member, Unit
from pipelines.rows import CleanedFile, Outcome, UnitAttempt, quarantined
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from pipelines.storage.open import open_place

_PASSES = 3  # at least, after one that is not counted
_PICTURES = 4  # that a pass over the models takes


def measure_ceilings(
    collection: Path, out: Path, engine: Engine, tile: int, seconds: float
) -> Ceilings:
    """Measure every stage over the images of a collection.

    Args:
        collection: A folder with sources.
        out: An empty folder, where commits go.
        engine: The models, on their device.
        tile: Side of the restorer's tiles, in px.
        seconds: About how long to spend on each stage.
    """
    units = units_of(collection)
    files = image_files(units)
    sample = [PictureWork.of(decode(data), engine, tile) for data in files[:_PICTURES]]
    cores = len(os.sched_getaffinity(0))
    models_at_once = _models_at_once(engine.computes_on)
    with ThreadPoolExecutor(cores) as pool, _model_threads(models_at_once) as model_threads:
        decoded = files[: max(2 * cores, _PICTURES)]

        def decode_all() -> float:
            return sum(picture.facts.megapixels for picture in pool.map(decode, decoded))

        def judge_one(work: PictureWork) -> float:
            return work.judged(engine)

        def judge_sample() -> float:
            return sum(model_threads.map(judge_one, sample))

        def restore_one(work: PictureWork) -> float:
            work.restored(engine)
            return work.megapixels

        def restore_sample() -> float:
            return sum(model_threads.map(restore_one, sample))

        restored = [(work, work.restored(engine)) for work in sample]
        # Every picture several times, so that no core is without one to encode.
        encoded = restored * -(-2 * cores // len(sample))

        def encode_one(restored: tuple[PictureWork, list[RestoredTile]]) -> float:
            work, tiles = restored
            return work.encoded(tiles)

        def encode_all() -> float:
            return sum(pool.map(encode_one, encoded))

        def fetch_all() -> float:
            return sum(fetched(unit) for unit in units)

        return Ceilings(
            decode=rate(decode_all, seconds),
            detect=rate(judge_sample, seconds),
            restore=rate(restore_sample, seconds),
            encode=rate(encode_all, seconds),
            fetch=rate(fetch_all, seconds),
            commit=rate(_commits(units, Ledger(open_place(str(out)))), seconds),
        )


def rate(work: Callable[[], float], seconds: float) -> float:
    """Megapixels a second of some work.

    The work is run once to warm up, then at least three times and for about `seconds`. The median
    of the runs counts, since a machine's neighbours disturb some of them.

    Args:
        work: Does the work and returns the megapixels that it did.
        seconds: About how long to measure.
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
    """MP/s of a network alone, on inputs that lie on the device.

    Args:
        network: Takes (N, 3, H, W), channels last, 0..1.
        shape: N, H and W.
        device: Where the network is.
        seconds: As in `rate`.
        bfloat16: Whether it runs under autocast to bfloat16.
    """
    batch, height, width = shape
    x = torch.rand(batch, 3, height, width, device=device)
    x = x.contiguous(memory_format=torch.channels_last)

    def forward() -> float:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            network(x)
        if device.type == "cuda":
            # The call returns before the GPU has finished.
            torch.cuda.synchronize(device)
        return batch * height * width / 1e6

    count = _models_at_once(device.type)

    def forward_in_each() -> float:
        return sum(threads.map(lambda _: forward(), range(count)))

    with _model_threads(count) as threads:
        return rate(forward_in_each, seconds)


def _models_at_once(computes_on: str) -> int:
    """How many batches the models compute beside each other: one to a lane on a CPU."""
    return lanes_on(torch.get_num_threads()) if computes_on == "cpu" else 1


def _model_threads(count: int) -> ThreadPoolExecutor:
    """So many threads that share the cores among them."""
    cores_of_each = torch.get_num_threads() // count
    return ThreadPoolExecutor(count, initializer=take_threads, initargs=(cores_of_each,))


def restorer_rate(network: nn.Module, engine: Engine, tile: int, seconds: float) -> float:
    """MP/s of a restorer alone on the engine's device, in batches of tiles with their halos.

    Args:
        network: The restorer.
        engine: Says how large a batch and a halo are, and in which precision it restores.
        tile: Side of a tile without its halo, in px.
        seconds: As in `rate`.
    """
    # A multiple of what the restorer asks for, since tile and halo both are.
    side = tile + 2 * engine.halo
    shape = (max(1, engine.batch_pixels // side**2), side, side)
    return network_rate(
        network, shape, engine.device, seconds, bfloat16=engine.restores_in_bfloat16
    )


def detector_rate(network: nn.Module, engine: Engine, seconds: float) -> float:
    """MP/s of a detector alone on the engine's device, in batches of cells."""
    shape = (engine.batch_pixels // CELL**2, CELL, CELL)
    return network_rate(network, shape, engine.device, seconds, bfloat16=engine.judges_in_bfloat16)


@dataclass(frozen=True)
class PictureWork:
    """One decoded picture, with all of it to be judged and restored."""

    picture: Picture
    grid: Grid
    windows: tuple[Window, ...]  # whose tiles cover all of it

    @staticmethod
    def of(picture: Picture, engine: Engine, tile: int) -> "PictureWork":
        """Plan the work; `tile` is the side of the restorer's tiles, in px."""
        height, width = picture.pixels.shape[:2]
        grid = Grid(height, width)
        every_cell = range(len(grid))
        windows = plan_for(engine, grid, every_cell, side=tile)
        return PictureWork(picture, grid, windows)

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles in all windows."""
        return tiles_of(self.windows)

    @property
    def megapixels(self) -> float:
        """The picture's size."""
        return self.picture.facts.megapixels

    def judged(self, engine: Engine) -> float:
        """Judge every cell; the megapixels that the detector saw."""
        engine.judge([self.grid.view(self.picture.pixels, cell) for cell in range(len(self.grid))])
        return self.megapixels

    def restored(self, engine: Engine) -> list[RestoredTile]:
        """What the restorer makes of each tile; windows of one shape go through it together."""
        numbers_by_shape: dict[tuple[int, ...], list[int]] = {}
        for number, window in enumerate(self.windows):
            numbers_by_shape.setdefault(window.shape, []).append(number)
        restored: dict[int, list[RestoredTile]] = {}
        for numbers in numbers_by_shape.values():
            windows = [self.windows[number] for number in numbers]
            cuts = [window.cut(self.picture.pixels) for window in windows]
            restored.update(zip(numbers, engine.restore(windows, cuts), strict=True))
        in_order: list[RestoredTile] = []
        for number in range(len(self.windows)):
            in_order += restored[number]
        return in_order

    def blended(self, restored: Sequence[RestoredTile]) -> Pixels:
        """The restored picture, of what `restored` gave."""
        pixels = [tile.pixels for tile in restored]
        return blend(self.picture.pixels, self.grid, range(len(self.grid)), self.tiles, pixels)

    def encoded(self, restored: Sequence[RestoredTile]) -> float:
        """Blend, measure and write the picture, as is done with every one that is cleaned.

        Args:
            restored: What `restored` gave.

        Returns:
            The megapixels written.
        """
        old = self.picture.pixels
        new = self.blended(restored)
        for measure in (likeness.psnr, likeness.block_ssim, likeness.colour_difference):
            measure(old, new)
        encode(self.picture, new)
        return self.megapixels


def units_of(collection: Path) -> list[Unit]:
    """The units of all sources in a folder, as a job plans them."""
    units: list[Unit] = []
    for source in discover(str(collection)):
        units += plan_members(source, index(source).members, "ceiling")
    return units


def image_files(units: Sequence[Unit]) -> list[FileBytes]:
    """The images of units, each as its file."""
    files: list[FileBytes] = []
    for unit in units:
        contents = [data for _, data in read_members(unit.source, unit.members)]
        files += [data for data in contents if not isinstance(data, ImageError)]
    return files


def fetched(unit: Unit) -> float:
    """Read all of a unit; its megapixels."""
    return sum(member.megapixels for member, _ in read_members(unit.source, unit.members))


def _commits(units: Sequence[Unit], ledger: Ledger) -> Callable[[], float]:
    """A pass that commits every image as cleaned, under names that are new each time."""
    contents = {unit.id: list(read_members(unit.source, unit.members)) for unit in units}
    numbers = itertools.count()

    def commit() -> float:
        number = next(numbers)
        for unit in units:
            again = replace(unit, id=f"{unit.id}-{number}")
            attempt = UnitAttempt(again, ledger.start(again), "ceiling", run_id="ceiling")
            outcomes = [_outcome(member, data, attempt) for member, data in contents[unit.id]]
            ledger.commit(again, attempt.number, outcomes)
        return sum(unit.megapixels for unit in units)

    return commit


def _outcome(member: Member, data: FileBytes | ImageError, attempt: UnitAttempt) -> Outcome:
    """The member as if its own bytes had come out of cleaning."""
    row = quarantined(member, "", attempt).row
    cleaned = None if isinstance(data, ImageError) else CleanedFile.of(data)
    return Outcome(member, row, cleaned)
