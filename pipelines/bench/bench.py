"""How fast this machine is: the models alone, every stage alone, the whole job, and the script that
one would write.

The whole job is the real one, `run_job` over a drawn collection in a temporary folder, half of
whose pictures have moiré. Its rate counts the time of cleaning, from the moment a worker begins the
first unit until the last one is committed: Ray's start and the loading of models (some 15 s) are
left out, since a night's archive does not feel them, as are planning and publishing, which the
model does not wait for. How large the collection is follows from what the stages could do, so that
the job takes about as long on any machine.

Its rate is set against what its stages could do at best on the same pictures (`possible_mps`), of
which the detector may pick more or less than half. Where all share the CPU that is the time of all
stages together, each as fast as it is alone; with a GPU, the slower of CPU and GPU, since they
overlap. What is measured one after another is comparable only where nothing else runs: the load
that the bench found tells. Takes about two minutes on two cores, most of it the job and the script.
"""

import contextlib
import math
import os
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from demoire.cleaning.cleaner import Cleaner, Models, load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, find_device
from demoire.cleaning.grid import Tile, plan_tiles
from demoire.cleaning.threads import use_threads
from demoire.imaging.images import decode
from demoire.models.layers import channels_last
from demoire.models.restorer import build_restorer
from demoire.models.unet import FAST
from pipelines.bench.ceilings import Work, detector_rate, measure_ceilings, rate, restorer_rate
from pipelines.bench.collection import Extent, _no_room, draw_pictures, write_archive
from pipelines.bench.script import Script
from pipelines.clean.ledger import ATTEMPTS, COMMITS
from pipelines.run import CleanJob, Summary, run_job
from pipelines.storage.open import open_place

Progress = Callable[[float, int, str], None]  # parts done, of how many, what is being measured

_PARTS = 5
_GLANCE = 0.1  # seconds between two looks at the workers' memory


def bench(
    config: CleanerConfig = CleanerConfig(),
    extent: Extent = Extent(),
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """The figures of this machine, as `demoire bench --json` prints them. Rates are MP/s of image.

    "model_mps", "fast_mps", "detector_mps": the networks alone on batches of their usual shape: the
    configuration's restorer, the fast one (with random weights), the detector. "ceilings": each of
    `ceilings.STAGES` alone. "end_to_end_mps": the whole job over the time of cleaning.
    "possible_mps": what the ceilings allow for that job. "efficiency": the former over the latter.
    "script_mps": one process, one whole picture after another. "peak_rss_mb": most that Ray's
    workers held together at one moment of the job; pages they share count in each. "job": images,
    cleaned, megapixels and seconds (of cleaning), and "shares", to judge these by; see `Shares`.
    "machine": cpu, cores, load (processes that ran or waited in the minute before), memory_gb,
    device, torch, ray, python and system. Raises UsageError for a device that is not there or a
    temporary folder that cannot be written, WeightsError for weights that cannot be used.
    """
    tell = on_progress or (lambda done, parts, what: None)
    load, _, _ = os.getloadavg()
    device = find_device(config.device)
    models = load_models(config, device)
    use_threads(config.threads)  # as many as the job's cleaner has
    cleaner = Cleaner(config, models)
    engine = Engine(models.detector, models.restorer, device)
    with _temporary_folder() as folder:
        tell(0, _PARTS, "drawing pictures")
        pictures = draw_pictures(extent)
        shares = Shares.of(pictures, cleaner, engine)
        tell(1, _PARTS, "the models alone")
        networks = _network_rates(models, engine, config.tile, extent.seconds)
        tell(2, _PARTS, "every stage alone")
        # two pictures a core, so that none is idle
        rounds = math.ceil(2 * _cores() / len(pictures))
        write_archive(folder / "stages" / "box.tar", pictures, rounds)
        ceilings = measure_ceilings(
            folder / "stages", folder / "commits", engine, config.tile, extent.seconds
        )
        tell(3, _PARTS, "the whole job")
        archive = folder / "collection" / "box.tar"
        possible = possible_rate(ceilings, shares, overlapped=device.type == "cuda")
        rounds = math.ceil(extent.job_seconds * possible / (len(pictures) * extent.megapixels))
        write_archive(archive, pictures, rounds)
        job = _run(
            archive.parent,
            folder / "out",
            config,
            lambda share: tell(3 + share, _PARTS, "the whole job"),
        )
        tell(4, _PARTS, "the script")
        script = Script(models, engine, config, cleaner.threshold)
        script_mps = rate(
            lambda: script.clean(archive, folder / "script.tar", len(pictures)), extent.seconds
        )
    return {
        **networks,
        "ceilings": ceilings,
        "end_to_end_mps": job.mps,
        "possible_mps": possible,
        "efficiency": job.mps / possible,
        "script_mps": script_mps,
        "peak_rss_mb": job.peak_rss_mb,
        "job": {
            "images": job.summary.images,
            "cleaned": job.summary.cleaned,
            "megapixels": job.summary.megapixels,
            "seconds": job.seconds,
        },
        "shares": asdict(shares),
        "machine": _machine(cleaner.device_name, load),
    }


@dataclass(frozen=True)
class Shares:
    """How much of the whole work a collection's moiré asks for, each 0..1."""

    cleaned: float  # of the images: these are encoded and committed
    judged_again: float  # of the cells, after they were restored
    # of the restorer's work on every cell, halos included: single cells cost more than their area
    restored: float

    @staticmethod
    def of(pictures: Sequence[bytes], cleaner: Cleaner, engine: Engine) -> "Shares":
        """The shares that the cleaner will find in these pictures, which are all of one size."""
        cleaned = flagged = cells = restored = whole = 0
        for data in pictures:
            picture = decode(data)
            work = Work.of(picture, engine, cleaner.config.tile)
            everything = range(len(work.grid))
            chosen = everything if cleaner.config.gate == "off" else cleaner.detect(data).flagged
            tiles = plan_tiles(
                work.grid,
                chosen,
                side=cleaner.config.tile,
                halo=engine.halo,
                multiple=engine.multiple,
            )
            cleaned, flagged, cells = (
                cleaned + bool(chosen),
                flagged + len(chosen),
                cells + len(everything),
            )
            restored, whole = restored + _area(tiles), whole + _area(work.tiles)
        return Shares(cleaned / len(pictures), flagged / cells, restored / whole)


def _area(tiles: Sequence[Tile]) -> int:
    """Pixels that the restorer sees."""
    return sum(tile.shape[0] * tile.shape[1] for tile in tiles)


def possible_rate(ceilings: Mapping[str, float], shares: Shares, *, overlapped: bool) -> float:
    """MP/s that a job cannot exceed whose stages are as fast as they are alone.

    ceilings: MP/s of each stage. overlapped: whether the models run beside the other stages, on a
    GPU, instead of taking turns with them.
    """
    models = (1 + shares.judged_again) / ceilings["detect"] + shares.restored / ceilings["restore"]
    reading = 1 / ceilings["fetch"] + 1 / ceilings["decode"]
    writing = shares.cleaned / ceilings["encode"] + shares.cleaned / ceilings["commit"]
    return 1 / (max(models, reading + writing) if overlapped else models + reading + writing)


# The collection


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="demoire-bench-")
    except OSError as error:
        raise _no_room(error) from error
    with folder as name:
        yield Path(name)


# The models alone


def _network_rates(models: Models, engine: Engine, tile: int, seconds: float) -> dict[str, float]:
    fast = channels_last(build_restorer(FAST).eval().to(engine.device))
    return {
        "model_mps": restorer_rate(models.restorer, engine, tile, seconds),
        "fast_mps": restorer_rate(fast, engine, tile, seconds),
        "detector_mps": detector_rate(models.detector, engine, seconds),
    }


# The whole job


@dataclass(frozen=True)
class JobDone:
    """What the job came to."""

    summary: Summary
    seconds: float  # from the first unit begun to the last one committed
    peak_rss_mb: float

    @property
    def mps(self) -> float:
        return self.summary.megapixels / self.seconds


def _run(src: Path, dst: Path, config: CleanerConfig, tell: Callable[[float], None]) -> JobDone:
    """Clean SRC into DST as `demoire clean` does; `tell` gets the share that is done."""

    def progress(phase: str, done: float, total: float) -> None:
        if phase == "clean":
            tell(done / total)

    with _watched_memory() as seen:
        summary = run_job(CleanJob(str(src), str(dst), config), progress=progress)
    place = open_place(str(dst))
    begun = min(entry.mtime for entry in place.list(ATTEMPTS))
    ended = max(entry.mtime for entry in place.list(COMMITS))
    return JobDone(summary, ended - begun, max(seen))


@contextlib.contextmanager
def _watched_memory() -> Iterator[list[float]]:
    """The MB that Ray's workers hold, looked at again and again during the block; complete after
    it.
    """
    seen: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_GLANCE):
            seen.append(_workers_mb())

    watcher = threading.Thread(target=watch, name="demoire-bench-memory", daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _workers_mb() -> float:
    """MB that the worker processes of this process's Ray hold now; Ray names them so that they can
    be told.
    """
    held = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, IndexError):  # it may have ended meanwhile
            if process.cmdline()[0].startswith("ray::"):
                held += process.memory_info().rss
    return held / 1e6


# The script


# The machine


def _machine(device_name: str, load: float) -> dict[str, Any]:
    return {
        "cpu": _cpu_name(),
        "cores": _cores(),
        "load": round(load, 2),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "device": device_name,
        "torch": version("torch"),
        "ray": version("ray"),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
