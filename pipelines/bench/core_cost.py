"""What a megapixel costs apart from the networks: milliseconds of core time, and by stage.

On a GPU the cores are the limit, so this price decides how fast an archive is cleaned. The whole
path is the actor's own: read from a tar, decode, judge, restore, blend, measure, encode, read
again, hash, commit; only the networks are stand-ins (`pipelines.bench.stand_ins`), whose own time
is subtracted. Ray is left out.

Measured is time on the cores, of this process and of the children that decode and code for it, not
time by the clock: other programs matter little, and threads count in full. The whole and its stages
are measured in turn, because other machines on the same hardware slow a core down for seconds at a
time, by up to half: what was measured together can be compared. The stages lack what lies between
them, such as events and the plan of windows, and find more in the caches: some 1 to 4 ms. About a
minute.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, RestoredTile, find_device
from demoire.cleaning.freed_memory import keep_freed_memory
from demoire.cleaning.gain import pattern_share
from demoire.cleaning.result import Cleaned
from demoire.cleaning.threads import use_threads
from demoire.cleaning.verdict import change_kind
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.guard import decode_guarded, verify
from demoire.imaging.images import decode, encode, open_image
from demoire.imaging.room import are_equal
from demoire.measure import likeness
from demoire.progress import Progress, in_silence
from demoire.simulate.scenes.drawings import SCENES
from demoire.temporary_files import new_temporary_folder
from pipelines.bench.ceilings import PictureWork, fetched, image_files, units_of
from pipelines.bench.collection import Extent, to_jpeg, write_archive
from pipelines.bench.figures import CleanedStages, CopiedStages, CoreCost, CoreCosts
from pipelines.bench.machine import describe_machine
from pipelines.bench.print_cost import PrintedPage
from pipelines.bench.stand_ins import StandIns, with_wave
from pipelines.clean.fetched_unit import Fetched, clean_unit
from pipelines.destination.commits import Commit
from pipelines.destination.ledger import Ledger
from pipelines.records import Unit
from pipelines.rows import UnitAttempt, cleaner_outcome
from pipelines.storage.open import open_place

_TURNS = 3  # at least, after one that is not counted
_WHOLE = "the whole path"


def core_costs(
    config: CleanerConfig = CleanerConfig(),
    extent: Extent = Extent(),
    progress: Progress = in_silence,
) -> CoreCosts:
    """Measure what cleaned and copied pictures cost on one core, without the networks.

    Args:
        config: How to clean, but for the networks and the device.
        extent: How many pictures, how large, and how long to measure each figure.
        progress: Told what is being measured, and how much of it is done.

    Raises:
        UsageError: The temporary folder cannot be written.
    """
    load, _, _ = os.getloadavg()
    use_threads(1)
    keep_freed_memory()  # as workers do
    config = replace(config, device="cpu", gate="auto", threshold=None)
    scenes = draw_scenes(extent)
    with new_temporary_folder() as folder:
        progress("copied pictures", 0, 3)
        plain = _Collection(folder / "plain", scenes, config, extent.seconds)
        copied = plain.copied()
        progress("cleaned pictures", 1, 3)
        waved = [with_wave(scene) for scene in scenes]
        spoilt = _Collection(folder / "waved", waved, config, extent.seconds)
        cleaned = spoilt.cleaned()
        progress("a printed page", 2, 3)
        lettering = _cost_of_lettering(extent)
        return CoreCosts(cleaned, copied, lettering, describe_machine("cpu", load))


def _cost_of_lettering(extent: Extent) -> float:
    """Milliseconds of core time a megapixel of a printed page: the median of several turns."""
    page = PrintedPage.drawn(extent)
    page.keep_type()
    costs = []
    for _ in range(_TURNS):
        clock = CoreClock()
        page.keep_type()
        costs.append(1000 * clock.seconds() / page.megapixels)
    return float(np.median(costs))


def draw_scenes(extent: Extent) -> list[Pixels]:
    """Pictures without moiré, each scene in turn."""
    names = sorted(SCENES)
    scenes = []
    for number in range(extent.pictures):
        rng = np.random.default_rng(number)
        draw = SCENES[names[number % len(names)]]
        scenes.append(draw(rng, extent.height, extent.width))
    return scenes


class CoreClock:
    """Time that this process, with all its threads, and its children have had a core.

    Looking for children takes milliseconds of its own, which do not count.
    """

    def __init__(self) -> None:
        """Start; children that come later are seen, too, where they are there at the end."""
        before = _seconds_of_children()
        self._start = before + time.process_time()

    def seconds(self) -> float:
        """Seconds since the start, of those that are still there."""
        own = time.process_time()
        return own + _seconds_of_children() - self._start


def _seconds_of_children() -> float:
    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        seconds += times.user + times.system
    return seconds


class _Collection:
    """Pictures in a tar that are all cleaned, or all copied, and what they cost."""

    def __init__(
        self, folder: Path, pictures: Sequence[Pixels], config: CleanerConfig, seconds: float
    ) -> None:
        write_archive(folder / "in" / "box.tar", [to_jpeg(pixels) for pixels in pictures], 1)
        self._units = units_of(folder / "in")
        self._ledger = Ledger(open_place(str(folder / "out")))
        self._networks = StandIns()
        device = find_device("cpu")
        self._cleaner = Cleaner(config, self._networks.models)
        self._engine = Engine(self._networks.detector, self._networks.restorer, device)
        self._tile = config.tile
        self._files = image_files(self._units)
        self._megapixels = sum(unit.megapixels for unit in self._units)
        self._seconds = seconds
        self._passes = 0

    def copied(self) -> CoreCost:
        """What the pictures cost, all of which are copied.

        Raises:
            RuntimeError: One was not.
        """
        work = self._decoded()
        outcomes = self._all_outcomes()
        engine = self._engine
        whole, stages = self._costs(
            lambda: self._clean_all("copied"),
            {
                "fetch": self._fetch,
                "decode": self._decode,
                "judge": lambda: _judge(work, engine),
                "commit": lambda: self._commit_all(outcomes),
            },
        )
        return CoreCost.of(whole, CopiedStages(**stages))

    def cleaned(self) -> CoreCost:
        """What the pictures cost, all of which are cleaned all over.

        Raises:
            RuntimeError: One was not.
        """
        work = self._decoded()
        outcomes = self._all_outcomes()
        engine = self._engine
        results = [_Result.of(one, engine) for one in work]
        whole, stages = self._costs(
            lambda: self._clean_all("cleaned"),
            {
                "fetch": self._fetch,
                "decode": self._decode,
                "judge": lambda: _judge(work, engine),
                "restore": lambda: _each(results, lambda result: result.restore(engine)),
                "blend": lambda: _each(results, _Result.blend),
                "gate": lambda: _each(results, _Result.look_for_pattern),
                "measure": lambda: _each(results, _Result.measure),
                "encode": lambda: _each(results, _Result.encode),
                "verify": lambda: _each(results, _Result.verify),
                "commit": lambda: self._commit_all(outcomes),
            },
        )
        return CoreCost.of(whole, CleanedStages(**stages, judge_again=stages["judge"]))

    def _clean_all(self, status: str) -> None:
        """The actor's way of every unit, from the tar to the marker."""
        for unit in self._units:
            commit = self._clean(unit)
            done = commit.cleaned if status == "cleaned" else commit.copied
            if done != commit.images:
                raise RuntimeError(f"{done} of {commit.images} drawn pictures were {status}")

    def _costs(
        self, whole: Callable[[], None], stages: Mapping[str, Callable[[], None]]
    ) -> tuple[float, dict[str, float]]:
        """Milliseconds of core time a megapixel of the whole path, and of each stage.

        The medians of several turns, in each of which everything is done once.
        """
        parts = {_WHOLE: whole, **stages}
        costs: dict[str, list[float]] = {name: [] for name in parts}
        for part in parts.values():
            self._cost(part)
        turns = 0
        end = time.perf_counter() + self._seconds * len(parts)
        while turns < _TURNS or time.perf_counter() < end:
            for name, part in parts.items():
                costs[name].append(self._cost(part))
            turns += 1
        medians = {name: float(np.median(of_part)) for name, of_part in costs.items()}
        return medians.pop(_WHOLE), medians

    def _cost(self, work: Callable[[], None]) -> float:
        """Milliseconds of core time a megapixel, but for that of the networks."""
        clock = CoreClock()
        of_networks = self._networks.seconds
        work()
        seconds = clock.seconds() - (self._networks.seconds - of_networks)
        return 1000 * seconds / self._megapixels

    def _fetch(self) -> None:
        for unit in self._units:
            fetched(unit)

    def _decode(self) -> None:
        for data in self._files:
            decode_guarded(open_image(data))

    def _decoded(self) -> list[PictureWork]:
        return [PictureWork.of(decode(data), self._engine, self._tile) for data in self._files]

    def _all_outcomes(self) -> list[tuple[Unit, list[Cleaned]]]:
        """What the cleaner makes of each unit's images, in their order."""
        results = []
        for unit in self._units:
            cleaned = dict(self._cleaner.clean_many(enumerate(image_files([unit]))))
            results.append((unit, [cleaned[number] for number in range(len(cleaned))]))
        return results

    def _commit_all(self, results: Sequence[tuple[Unit, list[Cleaned]]]) -> None:
        for unit, cleaned in results:
            attempt = self._begin(unit)
            outcomes = []
            for member, data, result in zip(
                unit.members, image_files([unit]), cleaned, strict=True
            ):
                outcomes.append(cleaner_outcome(member, data, result, attempt))
            self._ledger.commit(attempt.unit, attempt.number, outcomes)

    def _begin(self, unit: Unit) -> UnitAttempt:
        """A first attempt at the unit, under a name that no pass had before."""
        self._passes += 1
        again = replace(unit, id=f"{unit.id}-{self._passes}")
        return UnitAttempt(again, self._ledger.start(again), "core-cost", run_id="core-cost")

    def _clean(self, unit: Unit) -> Commit:
        """What the actor does with a unit."""
        attempt = self._begin(unit)
        payloads = tuple(image_files([unit]))
        read = Fetched(attempt.unit, payloads, (None,) * len(payloads), milliseconds=0.0)
        outcomes = clean_unit(self._cleaner, read, attempt, on_image=lambda member, cleaned: None)
        return self._ledger.commit(attempt.unit, attempt.number, outcomes)


def _judge(work: Sequence[PictureWork], engine: Engine) -> None:
    for one in work:
        one.judged(engine)


def _each(results: Sequence["_Result"], stage: Callable[["_Result"], None]) -> None:
    for result in results:
        stage(result)


@dataclass(frozen=True)
class _Result:
    """A picture that is restored all over, and what each stage makes of it."""

    work: PictureWork
    tiles: list[RestoredTile]
    pixels: Pixels  # restored
    data: FileBytes  # the file

    @staticmethod
    def of(work: PictureWork, engine: Engine) -> "_Result":
        tiles = work.restored(engine)
        pixels = work.blended(tiles)
        return _Result(work, tiles, pixels, encode(work.picture, pixels))

    def restore(self, engine: Engine) -> None:
        restored = self.work.restored(engine)
        for tile, of_tile in zip(self.work.tiles, restored, strict=True):
            before = self.work.picture.pixels[tile.reach.slices]
            change_kind(before, of_tile.pixels, of_tile.brightness)

    def blend(self) -> None:
        pixels = self.work.blended(self.tiles)
        are_equal(self.work.picture.pixels, pixels)

    def look_for_pattern(self) -> None:
        grid = self.work.grid
        pattern_share(self.work.picture.pixels, self.pixels, grid, range(len(grid)))

    def measure(self) -> None:
        old = self.work.picture.pixels
        likeness.psnr(old, self.pixels)
        likeness.block_ssim(old, self.pixels)
        likeness.colour_difference(old, self.pixels)

    def encode(self) -> None:
        encode(self.work.picture, self.pixels)

    def verify(self) -> None:
        verify(self.work.picture, self.pixels, self.data)
