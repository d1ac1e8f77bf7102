"""How fast this machine is: the models alone, every stage alone, the whole job, and a plain script.

The whole job is the real one, `run_job` over a drawn collection in a temporary folder, half of
whose pictures have moiré. Its rate counts the time of cleaning, from the moment a worker begins the
first unit until the last one is committed. Ray's start and the loading of models (some 15 s) are
left out, since a night's archive does not feel them; so are planning and publishing, which the
model does not wait for. The size of the collection follows from what the stages could do, so that
the job takes about as long on any machine.

The rate is set against what the stages could do at best on the same pictures (`possible_mps`), of
which the detector may pick more or less than half. Where everything shares the CPU, that is the
time of all stages together, each as fast as it is alone; with a GPU it is the slower of CPU and
GPU, since they overlap. Figures that are measured one after another compare only where nothing else
runs; `machine.load` tells. Takes about two minutes on two cores, most of it the job and the script.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demoire.cleaning.cleaner import Cleaner, Models, load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, find_device
from demoire.cleaning.freed_memory import keep_freed_memory
from demoire.cleaning.threads import use_threads
from demoire.models.layers import channels_last
from demoire.models.restorer import build_restorer
from demoire.models.unet import FAST
from demoire.progress import Progress, in_silence
from demoire.temporary_files import new_temporary_folder
from pipelines.bench.ceilings import detector_rate, measure_ceilings, rate, restorer_rate
from pipelines.bench.collection import Extent, draw_pictures, no_room, write_archive
from pipelines.bench.figures import BenchResult, Ceilings
from pipelines.bench.machine import describe_machine, usable_cores
from pipelines.bench.script import Script
from pipelines.bench.shares import find_shares, possible_rate
from pipelines.bench.whole_job import TimedJob, time_job

_PARTS = 5


@dataclass(frozen=True)
class _Bench:
    """What all parts of the bench work with."""

    config: CleanerConfig
    extent: Extent
    pictures: list[bytes]
    models: Models
    engine: Engine
    cleaner: Cleaner
    folder: Path  # temporary
    progress: Progress

    @property
    def archive(self) -> Path:
        """What the whole job and the script clean."""
        return self.folder / "collection" / "box.tar"


def bench(
    config: CleanerConfig = CleanerConfig(),
    extent: Extent = Extent(),
    progress: Progress = in_silence,
) -> BenchResult:
    """Measure this machine.

    Args:
        config: The weights, device and tile to measure with.
        extent: How much is measured.
        progress: Told what is being measured, and how many of the bench's parts are done.

    Raises:
        UsageError: The device is not there, or the temporary folder cannot be written.
        WeightsError: The weights cannot be used.
    """
    load, _, _ = os.getloadavg()
    device = find_device(config.device)
    models = load_models(config, device)
    use_threads(config.threads)  # as many as the job's cleaner has
    keep_freed_memory()  # as its actors do
    cleaner = Cleaner(config, models)
    engine = Engine(models.detector, models.restorer, device)
    with _temporary_folder() as folder:
        progress("drawing pictures", 0, _PARTS)
        pictures = draw_pictures(extent)
        parts = _Bench(config, extent, pictures, models, engine, cleaner, folder, progress)
        return _measure(parts, load)


def _measure(parts: _Bench, load: float) -> BenchResult:
    shares = find_shares(parts.pictures, parts.cleaner, parts.engine)
    parts.progress("the models alone", 1, _PARTS)
    fast = channels_last(build_restorer(FAST).eval().to(parts.engine.device))
    seconds = parts.extent.seconds
    model_mps = restorer_rate(parts.models.restorer, parts.engine, parts.config.tile, seconds)
    fast_mps = restorer_rate(fast, parts.engine, parts.config.tile, seconds)
    detector_mps = detector_rate(parts.models.detector, parts.engine, seconds)
    parts.progress("every stage alone", 2, _PARTS)
    ceilings = _ceilings(parts)
    parts.progress("the whole job", 3, _PARTS)
    on_gpu = parts.engine.device.type == "cuda"
    possible_mps = possible_rate(ceilings, shares, overlapped=on_gpu)
    job = _whole_job(parts, possible_mps)
    parts.progress("the script", 4, _PARTS)
    return BenchResult(
        model_mps=model_mps,
        fast_mps=fast_mps,
        detector_mps=detector_mps,
        ceilings=ceilings,
        end_to_end_mps=job.mps,
        possible_mps=possible_mps,
        efficiency=job.mps / possible_mps,
        script_mps=_script_rate(parts),
        peak_rss_mb=job.peak_rss_mb,
        job=job.figures,
        shares=shares,
        machine=describe_machine(parts.cleaner.device_name, load),
    )


def _ceilings(parts: _Bench) -> Ceilings:
    """Every stage alone, over two pictures a core, so that no core is idle."""
    stages = parts.folder / "stages"
    rounds = math.ceil(2 * usable_cores() / len(parts.pictures))
    write_archive(stages / "box.tar", parts.pictures, rounds)
    commits = parts.folder / "commits"
    return measure_ceilings(stages, commits, parts.engine, parts.config.tile, parts.extent.seconds)


def _whole_job(parts: _Bench, possible_mps: float) -> TimedJob:
    """The job over a collection that would take `extent.job_seconds` at the best rate possible."""
    megapixels = parts.extent.job_seconds * possible_mps
    rounds = math.ceil(megapixels / (len(parts.pictures) * parts.extent.megapixels))
    write_archive(parts.archive, parts.pictures, rounds)

    def within_the_bench(what: str, done: float, total: float) -> None:
        parts.progress("the whole job", 3 + done / total, _PARTS)

    out = parts.folder / "out"
    return time_job(parts.archive.parent, out, parts.config, within_the_bench)


def _script_rate(parts: _Bench) -> float:
    script = Script(parts.models, parts.engine, parts.config, parts.cleaner.threshold)
    out = parts.folder / "script.tar"
    count = len(parts.pictures)
    return rate(lambda: script.clean(parts.archive, out, count), parts.extent.seconds)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(new_temporary_folder())
        except OSError as error:
            raise no_room(error) from error
        yield folder
