"""The bench as a rented GPU wants it: shorter than `demoire bench`, with how busy the card was.

    python -m tests.benchmarks.gpu_bench [--device cuda] [--quick]

Prints what `demoire bench --json` prints, under "bench", and the card's busy share during the whole
job, under "card". On a fast card the whole job of `demoire bench` would write and read gigabytes of
drawn pictures; here it takes about 15 seconds of cleaning. `--quick` is for a trial without a GPU:
everything is done, on the smallest work there can be, and the figures are worth nothing.

It alone measures a real card. What the cores could do beside a card of any speed, on a machine
without one, is measured by `tests.benchmarks.card`.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from demoire.cleaning.config import CleanerConfig
from pipelines.bench.bench import bench
from pipelines.bench.collection import Extent

_SHORT = Extent(job_seconds=15)
_QUICK = Extent(pictures=2, width=600, seconds=0.05, job_seconds=0.5)
_QUERY = (
    "--query-gpu=utilization.gpu,memory.used",
    "--format=csv,noheader,nounits",
    "--loop-ms=500",
)
_WHOLE_JOB = "the whole job"


@dataclass(frozen=True)
class Look:
    """What nvidia-smi said at a moment."""

    when: float  # as `time.monotonic` has it
    busy: float  # percent of the time since the last look
    memory_mb: float


@dataclass
class CardWatch:
    """How busy the first card was, by nvidia-smi; knows nothing where there is none.

    Attributes:
        looks: In their order.
        phases: What the bench was at, and since when.
    """

    looks: list[Look] = field(default_factory=list)
    phases: list[tuple[float, str]] = field(default_factory=list)

    def note_phase(self, what: str, done: float, total: float) -> None:
        """A `demoire.progress.Progress`."""
        if not self.phases or self.phases[-1][1] != what:
            self.phases.append((time.monotonic(), what))

    def during(self, phase: str) -> list[Look]:
        """The looks in a phase, from the first to the last at which the card was at work."""
        looks = []
        for look in self.looks:
            current = [what for since, what in self.phases if since <= look.when]
            if current and current[-1] == phase:
                looks.append(look)
        while looks and not looks[0].busy:
            del looks[0]
        while looks and not looks[-1].busy:
            del looks[-1]
        return looks

    def facts(self) -> dict[str, float] | None:
        """Busy share and memory during the whole job; None where nothing was seen."""
        looks = self.during(_WHOLE_JOB)
        if not looks:
            return None
        return {
            "busy": statistics.mean(look.busy for look in looks) / 100,
            "peak_memory_mb": max(look.memory_mb for look in looks),
            "looks": len(looks),
        }


@contextlib.contextmanager
def watched_card() -> Iterator[CardWatch]:
    """Watch the card for the block."""
    watch = CardWatch()
    program = shutil.which("nvidia-smi")
    if program is None:
        yield watch
        return
    process = subprocess.Popen([program, *_QUERY], stdout=subprocess.PIPE, text=True)

    def read() -> None:
        for line in process.stdout or ():
            # One line a card; what cannot be read (such as "[N/A]") says nothing.
            with contextlib.suppress(ValueError):
                busy, memory = line.split(",")
                watch.looks.append(Look(time.monotonic(), float(busy), float(memory)))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield watch
    finally:
        process.terminate()
        process.wait()
        reader.join()


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(words)
    extent = _QUICK if options.quick else _SHORT
    with watched_card() as card:
        result = bench(CleanerConfig(device=options.device), extent, card.note_phase)
    print(json.dumps({"bench": asdict(result), "card": card.facts()}, indent=1))


if __name__ == "__main__":
    main()
