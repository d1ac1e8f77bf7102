"""What a job comes to beside a GPU, on a machine that has none.

    python -m tests.benchmarks.card [--mps 400] [--workers 1] [--pictures 64]

It alone measures whether the cores keep up with a card that is fast enough, and it needs no card.
How fast a real card is, how busy it was, and every stage alone: `tests.benchmarks.gpu_bench`, which
needs one.

The networks are stand-ins that take pixels / rate seconds of a card and almost nothing of a core
(`pipelines.bench.stand_ins`), so the cores are the limit, as beside a real GPU. The job is the real
one: Ray, fetch, actors, commits; every picture is cleaned all over. It is set against what
`demoire bench --no-networks` says of the same pictures: core time a megapixel without Ray.

Two figures, for two kinds of machine. On a quiet one: MP/s of the job over what the cores allow. On
a shared one, where a clock says little: core time a megapixel of the actors, and how many of their
threads could run on average, whether they had a core or waited for one. Below the number of cores,
some would stand idle. What Ray itself takes is a price a second, so it is told apart.
"""

import argparse
import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import psutil

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.bench.collection import Extent, to_jpeg, write_archive
from pipelines.bench.core_cost import core_costs, draw_scenes
from pipelines.bench.machine import usable_cores
from pipelines.bench.stand_ins import Card, StandIns, with_wave
from pipelines.clean.actor import WaveOrder
from pipelines.clean.cluster import ray_session
from pipelines.clean.nodes import living_nodes
from pipelines.clean.pool import PoolWishes, plan_pool
from pipelines.clean.wave import clean_wave
from pipelines.destination.destination import Destination
from pipelines.job import CleanJob
from pipelines.launch import Launch
from pipelines.run import plan_units

_BATCH_PIXELS = 1 << 20
_GLANCE = 1.0  # seconds between two looks at the processes


@dataclass(frozen=True)
class CardCleaner:
    """Makes the Cleaners of the actors."""

    card: Card

    def __call__(self, config: CleanerConfig, day: date | None) -> Cleaner:
        """One whose networks compute on the card."""
        cleaner = Cleaner(config, StandIns(self.card).models, day)
        # Here it is a core that makes floats of the pixels. In batches as large as a card's that
        # costs half as much again, all of it fresh memory; a card does it itself.
        cleaner._engine.batch_pixels = _BATCH_PIXELS
        return cleaner


@dataclass
class Use:
    """What a process had of the cores, in seconds."""

    had: float = 0.0
    waited: float = 0.0  # for one, while it could have gone on

    def __add__(self, other: "Use") -> "Use":
        return Use(self.had + other.had, self.waited + other.waited)

    def __sub__(self, other: "Use") -> "Use":
        return Use(self.had - other.had, self.waited - other.waited)


@dataclass(frozen=True)
class Look:
    """What had been used by a moment."""

    when: float  # seconds since 1970
    actors: Use
    all_else: Use  # this process, and Ray's


@dataclass
class Cores:
    """What this process and all its descendants had, dead ones included."""

    uses: dict[int, Use] = field(default_factory=dict)
    actors: set[int] = field(default_factory=set)  # and their children

    def look(self) -> Look:
        """The sums by now."""
        own = psutil.Process()
        for process in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                if process.ppid() in self.actors or "CleaningActor" in process.cmdline()[0]:
                    self.actors.add(process.pid)
            use = Use()
            for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError, ValueError):
                    had, waited, _ = task.read_text().split()
                    use.had += int(had) / 1e9
                    use.waited += int(waited) / 1e9
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                use.had = max(use.had, times.user + times.system)  # threads that have ended
            before = self.uses.get(process.pid, Use())
            self.uses[process.pid] = Use(max(use.had, before.had), max(use.waited, before.waited))
        actors = Use()
        all_else = Use()
        for number, use in self.uses.items():
            if number in self.actors:
                actors += use
            else:
                all_else += use
        return Look(time.time(), actors, all_else)


@contextlib.contextmanager
def watched() -> Iterator[list[Look]]:
    """Looks, one a second."""
    looks: list[Look] = []
    over = threading.Event()
    cores = Cores()

    def watch() -> None:
        while not over.wait(_GLANCE):
            looks.append(cores.look())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Figures:
    """What the job came to."""

    megapixels: float
    seconds: float  # from the first unit's begin to the last one's commit
    mps: float
    core_ms: float  # a megapixel, of the actors
    runnable: float  # threads of theirs that had a core or waited for one, on average
    else_share: float  # of a core that Ray and this process took


def run_job(pictures: int, workers: int, card: Card, extent: Extent, folder: Path) -> Figures:
    """The whole job over pictures that are cleaned all over."""
    scenes = [to_jpeg(with_wave(scene)) for scene in draw_scenes(extent)]
    rounds = -(-pictures // len(scenes))
    for number in range(4):
        write_archive(folder / f"in{number}" / "box.tar", scenes, max(1, rounds // 4))
    job = CleanJob(
        str(folder / "in0"),
        str(folder / "out"),
        CleanerConfig(device="cpu", threads=1),
        also=tuple(str(folder / f"in{number}") for number in range(1, 4)),
    )
    launch = Launch.of(job)
    plan = launch.destination.manifests.load(plan_units(launch))
    units = list(launch.destination.manifests.units(plan))
    order = WaveOrder(
        launch.destination,
        job.config,
        plan.fingerprint,
        "run",
        "wave",
        make_cleaner=CardCleaner(card),
    )
    with watched() as looks, ray_session():
        pool = plan_pool(PoolWishes("cpu", workers, threads=1), living_nodes())
        result = clean_wave(units, order, replace(pool, cpus=0.5))
    if result.images != rounds // 4 * 4 * len(scenes):
        raise RuntimeError(f"{result.images} pictures were cleaned")
    return _figures(launch.destination, looks, result.megapixels)


def _figures(destination: Destination, looks: Sequence[Look], megapixels: float) -> Figures:
    begun = min(entry.mtime for entry in destination.place.list("_demoire/attempts"))
    ended = max(destination.ledger.times().values())
    during = [look for look in looks if begun <= look.when <= ended]
    first, last = during[0], during[-1]
    elapsed = last.when - first.when
    actors = last.actors - first.actors
    seconds = ended - begun
    return Figures(
        megapixels=round(megapixels, 1),
        seconds=round(seconds, 2),
        mps=round(megapixels / seconds, 2),
        core_ms=round(1000 * actors.had / elapsed * seconds / megapixels, 1),
        runnable=round((actors.had + actors.waited) / elapsed, 2),
        else_share=round((last.all_else - first.all_else).had / elapsed, 2),
    )


def main() -> None:
    """Measure, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mps", type=float, default=400.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--limit", action="store_true", help="measure the limit, too")
    options = parser.parse_args()
    load, _, _ = os.getloadavg()
    extent = Extent()
    facts: dict[str, object] = {"load": round(load, 2), "cores": usable_cores()}
    with tempfile.TemporaryDirectory(prefix="demoire-card-") as name:
        folder = Path(name)
        lock = folder / "card"
        lock.touch()
        card = Card(options.mps, lock)
        facts["job"] = asdict(run_job(options.pictures, options.workers, card, extent, folder))
    print(json.dumps(facts, indent=1), flush=True)
    if options.limit:
        limit = core_costs(CleanerConfig(device="cpu"), extent).cleaned
        facts["limit"] = {"core_ms": limit.milliseconds, "mps_a_core": limit.mps_a_core}
    print(json.dumps(facts.get("limit")))


if __name__ == "__main__":
    main()
