"""How many bookkeeping objects a run leaves for many folders of one small picture each.

    python -m tests.benchmarks.small_folders [FOLDERS]

It cleans them as `demoire clean` does, on this machine, in a temporary folder. 100 folders take
one to four minutes on two cores.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from demoire.cleaning.config import CleanerConfig
from pipelines.job import CleanJob
from pipelines.run import run_job

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


def main() -> None:
    """Print the objects below `_demoire` by folder, and how long the run took."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with tempfile.TemporaryDirectory() as temporary:
        src = Path(temporary, "src")
        dst = Path(temporary, "dst")
        make_folders(src, count)
        start = time.monotonic()
        summary = run_job(CleanJob(str(src), str(dst), CleanerConfig()))
        seconds = time.monotonic() - start
        objects: Counter[str] = Counter()
        for path in (dst / "_demoire").rglob("*"):
            if path.is_file():
                objects[path.relative_to(dst / "_demoire").parts[0]] += 1
    print(f"{summary.images} pictures, {summary.cleaned} cleaned, {seconds:.0f} s")
    for name, number in sorted(objects.items()):
        print(f"{name:12} {number:6}")
    print(f"{'all':12} {objects.total():6}")


if __name__ == "__main__":
    main()
