"""All that a rented GPU is for, in one command and at most 13 minutes: `make gpu IMAGES=CLEAN`.

    python -m tests.benchmarks.gpu (--images CLEAN | --pack PACK) --out OUT [--device cuda]
        [--minutes 13] [--config restorer-gpu] [--shards DIR] [--stages tests,bench,train] [--quick]

Before any of them it is seen whether torch finds the GPU, why it does not, and whether packages,
images and configuration are there: a rented minute is worth more than a traceback. How to bring
all of it to a machine without network: docs/rented-gpu.md.

1. tests: `tests/demoire/test_gpu.py`, which a machine without a GPU skips.
2. bench: `tests.benchmarks.gpu_bench`, the whole job over a drawn collection, and how busy the card
   was. `--quick` makes it as small as it can be: a trial of everything by `--device cpu`.
3. train: `demoire train CONFIG --resume` for the time that is left; the next call, here or on
   another machine, goes on from OUT/run. Shards that are missing are simulated first, by all cores.
   PACK is what `tests.benchmarks.packing` made of images and shards; it is unpacked into OUT.

OUT gets the log of each stage, bench.json, gpu.json with how each ended, and run. A stage that
fails or overruns does not keep the next one from its turn. Exit status 0 when all did well, 1 when
one did not, 2 without a GPU.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import torch

from demoire.errors import DemoireError
from demoire.simulate.pairs import clean_images
from demoire.training.config_files import load_config, to_toml, with_values
from tests.benchmarks.packing import unpack

ROOT = Path(__file__).parent.parent.parent
STAGES = ("tests", "bench", "train")

_NEEDED = {
    "tests": ("pytest", "pytest_timeout", "hypothesis", "torch", "cv2", "simplejpeg"),
    "bench": ("ray", "pyarrow", "fsspec", "psutil", "torch", "cv2", "simplejpeg"),
    "train": ("typer", "rich", "pydantic", "safetensors", "tomli_w", "prefect", "torch", "cv2"),
}
_TESTS_SECONDS = 150.0  # at most
_BENCH_SECONDS = 180.0
_TO_SAVE = 20.0  # seconds, for a training to write its checkpoint and leave


@dataclass(frozen=True)
class Stage:
    """One command, and how long it may take."""

    name: str
    command: tuple[str, ...]
    seconds: float
    output: str | None = None  # the file of OUT that gets its standard output; None for its log


@dataclass(frozen=True)
class Ended:
    """How a stage ended."""

    name: str
    status: int | None  # None when it was stopped, since its time was up
    seconds: float


def run_stage(stage: Stage, out: Path) -> Ended:
    """Run a command within its time; then it is asked to end, and killed if it does not."""
    began = time.monotonic()
    with (out / f"{stage.name}.log").open("a") as log:
        if stage.output is None:
            status = _run(stage, log, log)
        else:
            with (out / stage.output).open("w") as output:
                status = _run(stage, output, log)
    return Ended(stage.name, status, round(time.monotonic() - began, 1))


def _run(stage: Stage, stdout: IO[str], stderr: IO[str]) -> int | None:
    process = subprocess.Popen(
        stage.command,
        cwd=ROOT,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        return process.wait(stage.seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a stage and all that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_TO_SAVE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stage_of(name: str, options: argparse.Namespace, seconds: float) -> Stage:
    """A stage's command.

    Args:
        name: One of STAGES.
        options: Of this program.
        seconds: What is left of the whole time.
    """
    python = (sys.executable, "-m")
    if name == "tests":
        command = (*python, "pytest", "-q", "-p", "no:cacheprovider", "tests/demoire/test_gpu.py")
        return Stage(name, command, min(seconds, _TESTS_SECONDS))
    if name == "bench":
        command = (*python, "tests.benchmarks.gpu_bench", "--device", options.device)
        if options.quick:
            command += ("--quick",)
        return Stage(name, command, min(seconds, _BENCH_SECONDS), "bench.json")
    config = options.out / "train.toml"
    device = {"device": options.device}
    config.write_text(to_toml(with_values(load_config(options.config), device)), encoding="utf-8")
    trains = max(1.0, seconds - _TO_SAVE)
    words = [*python, "flows.cli", "train", config, "--images", options.images, "--resume"]
    words += ["--out", options.out / "run", "--minutes", f"{trains / 60:.2f}"]
    words += ["--shards", options.shards or options.out / "shards"]
    return Stage(name, tuple(map(str, words)), seconds)


def run(options: argparse.Namespace) -> list[Ended]:
    """Run the stages one after another; each may use what those before it left of the time."""
    end = time.monotonic() + 60 * options.minutes - _TO_SAVE
    options.out.mkdir(parents=True, exist_ok=True)
    ended = []
    for name in options.stages:
        stage = stage_of(name, options, max(1.0, end - time.monotonic()))
        print(f"{stage.name}: {stage.seconds:.0f} s at most", flush=True)
        ended.append(run_stage(stage, options.out))
        print(f"{stage.name}: {_told(ended[-1], options.out)}", flush=True)
    facts = {"device": options.device, "stages": [asdict(one) for one in ended]}
    (options.out / "gpu.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return ended


def missing_packages(stages: Sequence[str]) -> list[str]:
    """What these stages import and this Python does not have."""
    missing = []
    for stage in stages:
        for name in _NEEDED[stage]:
            if importlib.util.find_spec(name) is None and name not in missing:
                missing.append(name)
    return missing


def why_no_gpu() -> str | None:
    """Why torch finds no GPU, and what to do about it; None where it finds one."""
    if torch.cuda.is_available():
        return None
    program = shutil.which("nvidia-smi")
    if torch.version.cuda is None:
        return (
            f"This torch ({torch.__version__}) is built for CPUs alone: install the CUDA build of "
            "the same version (docs/rented-gpu.md), or give --device cpu."
        )
    if program is None:
        return "There is no GPU here; run this where nvidia-smi finds one, or give --device cpu."
    query = (program, "--query-gpu=name,driver_version", "--format=csv,noheader")
    told = subprocess.run(query, capture_output=True, text=True, check=False)
    cards = ", ".join(told.stdout.split("\n")[:-1]) or "no card"
    return (
        f"This torch ({torch.__version__}) is built for CUDA {torch.version.cuda} and finds no GPU "
        f"that it can use; nvidia-smi finds {cards}. The driver may be older than CUDA wants: "
        "install a torch built for an older CUDA, or give --device cpu."
    )


def _told(ended: Ended, out: Path) -> str:
    how = "its time was up" if ended.status is None else f"status {ended.status}"
    told = f"{how} after {ended.seconds:.0f} s"
    if not ended.status:
        return told
    log = (out / f"{ended.name}.log").read_text(encoding="utf-8", errors="replace")
    return f"{told}; {ended.name}.log ends with: {log.rstrip().rpartition(chr(10))[2]}"


def _stages(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no stage {unknown[0]}")
    return names


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    taken = parser.add_mutually_exclusive_group(required=True)
    taken.add_argument("--images", type=Path, metavar="CLEAN")
    taken.add_argument("--pack", type=Path, metavar="PACK")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=13.0)
    parser.add_argument("--config", default="restorer-gpu")
    parser.add_argument("--shards", type=Path, metavar="DIR")
    parser.add_argument("--stages", type=_stages, default=STAGES)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(words)
    for name in ("images", "pack", "out", "shards"):
        given = getattr(options, name)
        if given is not None:
            setattr(options, name, given.resolve())
    reason = why_no_gpu() if options.device.startswith("cuda") else None
    if reason is not None:
        print(reason)
        return 2
    missing = missing_packages(options.stages)
    if missing:
        print(
            f"Packages are missing here: {', '.join(missing)}. Install them, or leave out stages."
        )
        return 2
    try:
        if options.pack is not None:
            options.images, shards = unpack(options.pack, options.out)
            options.shards = options.shards or shards
        clean_images(options.images)
        load_config(options.config)
    except DemoireError as error:
        print(error)
        return 2
    ended = run(options)
    return 0 if all(one.status == 0 for one in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
