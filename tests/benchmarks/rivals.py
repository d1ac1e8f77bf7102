"""The cleaner beside two plain scripts with the same networks: a bare one, and one that measures.

    python -m tests.benchmarks.rivals [--rounds 1] [--times 4]

All of them clean the bench's drawn pictures, half of which have moiré, from a tar, in this process.
The cleaner goes the actor's way, from the tar to the marker in the ledger; Ray is left out. The
rate by the clock counts on a quiet machine only. Core time a megapixel, of this process and its
children, counts on a busy one too, but does not say how well the cores are kept at work. They take
turns, and the medians count. A round takes four seconds on two quiet cores.

The eight pictures are one unit. A unit of a job has up to 32 of that size, so its beginning and its
commit, while which cores wait, weigh a quarter of that: `--times 4` puts every picture in four
times.
"""
# ruff: noqa: E402

from demoire.cleaning.freed_memory import keep_freed_memory, share_one_heap

share_one_heap()  # as workers do; pyarrow, which is imported below, starts a thread

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from demoire.cleaning.cleaner import Cleaner, load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, find_device
from demoire.cleaning.threads import use_threads
from pipelines.bench.ceilings import image_files, units_of
from pipelines.bench.collection import Extent, draw_pictures, write_archive
from pipelines.bench.core_cost import CoreClock
from pipelines.bench.script import MeasuringScript, Script
from pipelines.clean.fetched_unit import Fetched, clean_unit
from pipelines.destination.ledger import Ledger
from pipelines.rows import UnitAttempt
from pipelines.storage.open import open_place


def main() -> None:
    """Print the rates and the core time of all three, and how the cleaner compares."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--times", type=int, default=1)
    arguments = parser.parse_args()
    use_threads()
    keep_freed_memory()  # as workers do, and for the scripts as well: they are in this process
    config = CleanerConfig(device="cpu")
    models = load_models(config, find_device("cpu"))
    engine = Engine(models.detector, models.restorer, find_device("cpu"))
    cleaner = Cleaner(config, models)
    pictures = arguments.times * draw_pictures(Extent())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_archive(folder / "in" / "box.tar", pictures, 1)
        (unit,) = units_of(folder / "in")
        ledger = Ledger(open_place(str(folder / "out")))
        out = folder / "script.tar"
        scripts = {}
        for kind in (Script, MeasuringScript):
            script = kind(models, engine, config, cleaner.threshold)
            scripts[kind.__name__] = lambda script=script: script.clean(
                folder / "in" / "box.tar", out, len(pictures)
            )

        rounds_begun = itertools.count()

        def clean() -> None:
            # A first attempt: each one before it would cost a further note on disk.
            new = replace(unit, id=f"{unit.id}-{next(rounds_begun)}")
            payloads = tuple(image_files([new]))
            attempt = UnitAttempt(new, ledger.start(new), "rivals", run_id="rivals")
            fetched = Fetched(new, payloads, (None,) * len(payloads), milliseconds=0.0)
            outcomes = clean_unit(cleaner, fetched, attempt, on_image=lambda member, cleaned: None)
            ledger.commit(new, attempt.number, outcomes)

        compare({"Cleaner": clean, **scripts}, arguments.rounds, unit.megapixels)


def compare(rivals: dict[str, Callable[[], object]], rounds: int, megapixels: float) -> None:
    """Run each of them in turn, and print a line about each."""
    clock: dict[str, list[float]] = {name: [] for name in rivals}
    core: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, run in rivals.items():
            start = time.perf_counter()
            core_clock = CoreClock()
            run()
            if number:  # the first round warms up
                clock[name].append(time.perf_counter() - start)
                core[name].append(core_clock.seconds())
    first = next(iter(rivals))
    for name in rivals:
        rate = megapixels / float(np.median(clock[name]))
        cost = 1000 * float(np.median(core[name])) / megapixels
        by_clock = np.median(clock[name]) / np.median(clock[first])
        by_core = np.median(core[name]) / np.median(core[first])
        print(
            f"{name}: {rate:.2f} MP/s, {cost:.0f} ms of core time a megapixel; "
            f"the cleaner is {by_clock:.2f} times as fast, by core time {by_core:.2f}"
        )
    print(f"{rounds} rounds of {megapixels:.1f} MP, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
