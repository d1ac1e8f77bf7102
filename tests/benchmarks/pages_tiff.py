"""What a TIFF of A3 pages at 600 dpi costs: `python -m tests.benchmarks.pages_tiff [PAGES]`.

Draws a scan of RGB pages of 70 MP, and for each compression lists its pages, carves one out,
decodes it, codes it anew with a quarter of it changed, and puts it back into a copy of the file.
Times are of the core (of this process, all threads), memory is what is held at most above what was
held before a step.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from demoire.imaging.codecs import tiff
from demoire.imaging.paged.tiff_pages import TiffPages
from tests.benchmarks.pages_pdf import PeakMemory

WIDTH, HEIGHT = 9921, 7016  # px: A3 at 600 dpi
ROWS_A_STRIP = 64
COMPRESSIONS = ("none", "lzw", "zlib")


def page_of(seed: int) -> NDArray[np.uint8]:
    """Soft shapes with the noise of paper."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 250, (HEIGHT // 128 + 1, WIDTH // 128 + 1, 3), dtype=np.uint8)
    page = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(-3, 4, (HEIGHT // 4, WIDTH, 3), dtype=np.int16)
    for top in range(0, HEIGHT, len(noise)):
        part = page[top : top + len(noise)]
        page[top : top + len(noise)] = np.clip(part + noise[: len(part)], 0, 255)
    return page


def write_scan(path: Path, pages: int, compression: str) -> None:
    """A file of so many different pages."""
    with tifffile.TiffWriter(path) as writer:
        for number in range(pages):
            writer.write(
                page_of(number),
                photometric="rgb",
                compression=None if compression == "none" else compression,
                rowsperstrip=ROWS_A_STRIP,
                resolution=(600, 600),
                metadata=None,
            )


def measured(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds of the core, memory in MB, and what the work gave."""
    with PeakMemory() as memory:
        start = time.process_time()
        result = work()
        seconds = time.process_time() - start
    return {"core_s": round(seconds, 2), "mb": round(memory.own_mb)}, result


def figures_of(path: Path) -> dict[str, Any]:
    """What each step costs with the second page of a file."""
    form = TiffPages()
    figures: dict[str, Any] = {"file_mb": round(path.stat().st_size / 1e6)}
    with path.open("rb") as file, path.with_suffix(".out").open("w+b") as out:
        figures["list"], images = measured(lambda: form.images(file))
        image = images[1]
        figures["carve"], data = measured(lambda: form.read(file, image))

        def decoded() -> Any:
            return tiff.decode(data, tiff.read_header(data))

        figures["decode"], raster = measured(decoded)
        pixels = raster.pixels.copy()
        pixels[: HEIGHT // 4] = 255 - pixels[: HEIGHT // 4]
        figures["encode"], cleaned = measured(lambda: tiff.encode(data, raster, pixels))
        figures["put"], _ = measured(lambda: form.put(file, out, [image], lambda _: cleaned))
    return figures


def main() -> None:
    """Draw, measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", type=int, nargs="?", default=3)
    pages = parser.parse_args().pages
    figures: dict[str, Any] = {"pages": pages, "mp": WIDTH * HEIGHT / 1e6}
    with tempfile.TemporaryDirectory() as folder:
        for compression in COMPRESSIONS:
            path = Path(folder) / f"{compression}.tif"
            write_scan(path, pages, compression)
            figures[compression] = figures_of(path)
            path.unlink()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
