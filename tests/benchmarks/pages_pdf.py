"""What a PDF of many scanned pages costs: `python -m tests.benchmarks.pages_pdf [PAGES]`.

Draws a scan of A4 pages at 200 dpi (JPEG, 4:2:0, with a text layer), lists its pictures, carves
each out, puts another one back for each, and plans a folder with the file. Memory is that of this
process and of its child. To see what grows with the number of pages alone, take fewer `--dpi`.
"""

import argparse
import io
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pikepdf
import psutil
from pikepdf import Dictionary, Name, Stream
from PIL import Image

from demoire.imaging.pdf import carve, pictures_of, put_pictures
from demoire.imaging.pdf.guarded import pdf_readers
from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope
from pipelines.plan.plan import make_plan

PAGE = (595, 842)  # of 1/72 inch: A4
WORDS = 400  # on a page, in the text layer
DRAWN = 8  # different pictures; drawing them takes longer than all that is measured


def size_at(dpi: int) -> tuple[int, int]:
    """Width and height of a page in px."""
    width, height = PAGE
    return width * dpi // 72, height * dpi // 72


def jpeg_of(seed: int, dpi: int) -> bytes:
    """Soft shapes with the noise of paper: at 200 dpi about 0.7 MB."""
    width, height = size_at(dpi)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 250, (height // 64 + 1, width // 64 + 1, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 3, smooth.shape)
    out = io.BytesIO()
    samples = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    Image.fromarray(samples).save(out, "JPEG", quality=85)
    return out.getvalue()


def write_scan(path: Path, pages: int, jpegs: list[bytes], dpi: int) -> None:
    """A scan in which each page has a picture object of its own."""
    width, height = size_at(dpi)
    text = b" ".join(b"1 0 0 1 %d %d Tm (word) Tj" % (i % 50, i) for i in range(WORDS))
    content = b"q %d 0 0 %d 0 0 cm /Im0 Do Q BT 3 Tr /F1 9 Tf %s ET" % (*PAGE, text)
    with pikepdf.new() as pdf:
        font = pdf.make_indirect(
            Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
        )
        for number in range(pages):
            picture = Stream(
                pdf,
                jpegs[number % DRAWN],
                Type=Name.XObject,
                Subtype=Name.Image,
                Width=width,
                Height=height,
                ColorSpace=Name.DeviceRGB,
                BitsPerComponent=8,
                Filter=Name.DCTDecode,
            )
            page = pdf.add_blank_page(page_size=PAGE)
            page.obj.Resources = Dictionary(
                XObject=Dictionary(Im0=picture), Font=Dictionary(F1=font)
            )
            page.obj.Contents = Stream(pdf, content)
        pdf.save(path, object_stream_mode=pikepdf.ObjectStreamMode.generate)


class PeakMemory:
    """The most memory that this process and its children hold at a time, above the beginning."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.own_mb = 0.0
        self.child_mb = 0.0

    def __enter__(self) -> "PeakMemory":
        self._before = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.02):
            own = self._process.memory_info().rss - self._before
            self.own_mb = max(self.own_mb, own / 1e6)
            for child in self._process.children():
                self.child_mb = max(self.child_mb, child.memory_info().rss / 1e6)


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds, and memory in MB."""
    with PeakMemory() as memory:
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "own_mb": round(memory.own_mb, 1),
        "child_mb": round(memory.child_mb, 1),
    }


def _bytes_below(folder: Path) -> int:
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return sum(sizes)


def main() -> None:
    """Draw, measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", type=int, nargs="?", default=300)
    parser.add_argument("--dpi", type=int, default=200)
    given = parser.parse_args()
    pages = given.pages
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder) / "box"
        box.mkdir()
        path = box / "scan.pdf"
        jpegs = [jpeg_of(seed, given.dpi) for seed in range(DRAWN)]
        write_scan(path, pages, jpegs, given.dpi)
        figures: dict[str, Any] = {"pages": pages, "mb": round(path.stat().st_size / 1e6, 1)}
        figures["list"] = measured(lambda: pictures_of(path))
        figures["list_again"] = measured(lambda: pictures_of(path))

        def carve_all() -> None:
            for number in range(1, pages + 1):
                carve(path, number)

        def put_all() -> None:
            with (Path(folder) / "out.pdf").open("w+b") as out:
                put_pictures(path, out, range(1, pages + 1), lambda n: jpegs[(n + 3) % DRAWN])

        figures["carve"] = measured(carve_all)
        figures["put"] = measured(put_all)
        destination = Destination.at(str(Path(folder) / "dst"))
        figures["plan"] = measured(lambda: make_plan(destination, PlanScope(str(box), "f")))
        figures["plan_mb"] = round(_bytes_below(Path(folder) / "dst") / 1e6, 2)
    pdf_readers.end()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
