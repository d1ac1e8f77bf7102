"""How many bookkeeping objects a run leaves for many folders of one small picture each.

    python -m tests.benchmarks.small_folders [FOLDERS] [--s3] [--zip]

It cleans them as `demoire clean` does, on this machine, in a temporary folder; `--s3`: from one
bucket of a local S3 server into another, and counts the requests too, of a second run over the same
as well; `--zip`: each picture in a zip of its own. 100 folders take one to four minutes on two
cores.
"""

import os
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from demoire.cleaning.config import CleanerConfig
from pipelines.job import CleanJob
from pipelines.run import run_job
from tests.s3_server import Fault, s3_variables, serve_faults, serve_s3

SIDE = 64  # px


def make_folders(src: Path, count: int) -> None:
    """Folders with one picture each; every second one is striped."""
    rng = np.random.default_rng(0)
    stripes = 60 * np.sin(np.arange(SIDE) * 2.2)
    for number in range(count):
        folder = src / f"{number // 100:03}" / f"{number:05}"
        folder.mkdir(parents=True)
        pixels = rng.normal(128, 4, (SIDE, SIDE, 3))
        if number % 2:
            pixels += stripes[:, None, None]
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / "1.jpg", quality=95)


def pack(src: Path) -> None:
    """Put each folder's picture into a zip in its place."""
    for picture in sorted(src.rglob("1.jpg")):
        folder = picture.parent
        with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
            archive.write(picture, picture.name)
        picture.unlink()
        folder.rmdir()


def counting(requests: Counter[str]) -> Iterator[Fault | None]:
    """No faults, however many answers are asked for; counts them."""
    while True:
        requests["all"] += 1
        yield None


def main() -> None:
    """Print the objects below `_demoire` by folder, the requests, and how long the run took."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    count = numbers[0] if numbers else 400
    requests: Counter[str] = Counter()
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dst = temporary / "dst"
        dst.mkdir()
        make_folders(temporary / "src", count)
        if "--zip" in sys.argv:
            pack(temporary / "src")
        job = CleanJob(str(temporary / "src"), str(dst), CleanerConfig())
        if "--s3" in sys.argv:
            server = stack.enter_context(serve_s3(temporary))
            endpoint = stack.enter_context(serve_faults(server, counting(requests)))
            os.environ |= s3_variables(endpoint, "a-key", "a-secret")
            job = CleanJob("s3://src", "s3://dst", CleanerConfig())
        start = time.monotonic()
        summary = run_job(job)
        seconds = time.monotonic() - start
        of_first = requests["all"]
        run_job(job)
        of_second = requests["all"] - of_first
        objects: Counter[str] = Counter()
        for path in (dst / "_demoire").rglob("*"):
            if path.is_file():
                objects[path.relative_to(dst / "_demoire").parts[0]] += 1
    print(f"{summary.images} pictures, {summary.cleaned} cleaned, {seconds:.0f} s")
    for name, number in sorted(objects.items()):
        print(f"{name:12} {number:6}")
    print(f"{'all':12} {objects.total():6}")
    if requests:
        print(f"requests a source: {of_first / count:.1f}, in a second run {of_second / count:.1f}")


if __name__ == "__main__":
    main()
