"""The real job over the drawn collection, timed, and the memory of its workers."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from demoire.cleaning.config import CleanerConfig
from demoire.progress import Progress
from pipelines.bench.figures import JobFigures
from pipelines.destination.destination import Destination
from pipelines.job import CleanJob
from pipelines.layout import ATTEMPT_NOTES
from pipelines.run import run_job

_GLANCE = 0.1  # seconds between two looks at the workers' memory
_LISTED = 10  # looks after which workers are listed anew: that takes milliseconds, a look does not


@dataclass(frozen=True)
class TimedJob:
    """What the job came to."""

    figures: JobFigures
    peak_rss_mb: float

    @property
    def mps(self) -> float:
        """Megapixels a second of cleaning."""
        return self.figures.megapixels / self.figures.seconds


def time_job(src: Path, dst: Path, config: CleanerConfig, progress: Progress) -> TimedJob:
    """Clean SRC into DST as `demoire clean` does.

    Args:
        src: The collection.
        dst: A folder that does not exist yet.
        config: How to clean.
        progress: Told of images while they are cleaned, and of nothing else.
    """

    def cleaning_only(what: str, done: float, total: float) -> None:
        if what == "clean":
            progress(what, done, total)

    with _watched_memory() as held_mb:
        summary = run_job(CleanJob(str(src), str(dst), config), progress=cleaning_only)
    destination = Destination.at(str(dst))
    begun = min(entry.mtime for entry in destination.place.list(ATTEMPT_NOTES))
    ended = max(destination.ledger.times().values())
    figures = JobFigures(summary.images, summary.cleaned, summary.megapixels, ended - begun)
    return TimedJob(figures, max(held_mb))


@contextlib.contextmanager
def _watched_memory() -> Iterator[list[float]]:
    """MB that Ray's workers hold, sampled during the block; the list is complete after it."""
    held_mb: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        for number in itertools.count():
            if ended.wait(_GLANCE):
                return
            if number % _LISTED == 0:
                workers = _workers()
            held_mb.append(_held_mb(workers))

    watcher = threading.Thread(target=watch, name="demoire-bench-memory", daemon=True)
    watcher.start()
    try:
        yield held_mb
    finally:
        ended.set()
        watcher.join()


def _workers() -> list[psutil.Process]:
    """The worker processes of this process's Ray, which titles them `ray::...`."""
    workers = []
    for process in psutil.Process().children(recursive=True):
        # A process may end between being listed and being asked.
        with contextlib.suppress(psutil.Error, IndexError):
            if process.cmdline()[0].startswith("ray::"):
                workers.append(process)
    return workers


def _held_mb(workers: list[psutil.Process]) -> float:
    """MB that they hold now."""
    held = 0
    for process in workers:
        with contextlib.suppress(psutil.Error):
            held += process.memory_info().rss
    return held / 1e6
