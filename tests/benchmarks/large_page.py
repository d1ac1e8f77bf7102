"""How much memory `demoire fix` takes for one large page, and how fast it is.

    python -m tests.benchmarks.large_page [--megapixels 50 100 200] [--networks | --unit]
                                          [--formats jpeg tiff deflated.tiff png bmp]

Without --networks both networks are stand-ins that cost nothing (`pipelines.bench.stand_ins`), so
a page of 200 MP takes a minute; memory is nearly the same, since the restorer sees one window at
a time. With --unit the page goes the way of a job without Ray: it is read, handed over as Ray does,
cleaned and committed by a worker, and read again for the mirror.

A page of `tiff` has strips of 64 rows as they are, one of `deflated.tiff` a single deflated strip.

Each page is cleaned all over in a process of its own, whose memory and that of its children is
looked at twenty times a second: resident pages, the anonymous ones among them, and those that
belong to files. Pages that processes share are counted once (`Pss` in smaps_rollup).
"""

import argparse
import io
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile
from numpy.typing import NDArray
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.folder import find_images, fix_images
from demoire.cleaning.freed_memory import keep_freed_memory
from demoire.cleaning.threads import use_threads
from demoire.errors import ImageError
from demoire.file_bytes import write_file
from demoire.simulate.scenes.drawings import SCENES
from pipelines.bench.ceilings import units_of
from pipelines.bench.stand_ins import StandIns, with_wave
from pipelines.clean.fetched_unit import Fetched, clean_unit
from pipelines.clean.payload_column import payload_column, payloads_in
from pipelines.destination.ledger import Ledger
from pipelines.publish.payloads import CleanedPayloads
from pipelines.rows import UnitAttempt
from pipelines.sources.read import read_members
from pipelines.storage.open import open_place

_SIDE = 1536  # px of the drawing that a page repeats
_GLANCE = 0.05  # seconds


@dataclass
class Peak:
    """The most memory at one moment, MB, of a process and its children."""

    resident: float = 0.0
    anonymous: float = 0.0
    own_anonymous: float = 0.0  # without the children


def draw_page(path: Path, megapixels: float) -> None:
    """A page of this size with the stand-ins' moiré all over; the suffix says the format."""
    Image.MAX_IMAGE_PIXELS = None
    width = int((megapixels * 1e6 * 2 / 3) ** 0.5) // 16 * 16
    height = int(megapixels * 1e6 / width)
    # Of many colours: what is in few is taken for dithered, and stays as it is.
    drawing = with_wave(SCENES["photograph"](np.random.default_rng(0), _SIDE, _SIDE))
    # The wave's period is a third of 16 px, so that it goes on across the seams.
    rows = np.tile(drawing, (1, -(-width // _SIDE), 1))[:, :width]
    page: NDArray[np.uint8] = np.tile(rows, (-(-height // _SIDE), 1, 1))[:height]
    if path.suffix == ".jpeg":
        out = io.BytesIO()
        Image.fromarray(page).save(out, "JPEG", quality=90)
        path.write_bytes(out.getvalue())
    elif path.suffix == ".png":
        Image.fromarray(page).save(path, "PNG", compress_level=1)
    elif path.suffix == ".bmp":
        Image.fromarray(page).save(path, "BMP")
    else:
        packing: dict[str, Any] = {"rowsperstrip": 64}
        if ".deflated" in path.suffixes:
            packing = {"rowsperstrip": height, "compression": "deflate", "predictor": True}
        tifffile.imwrite(path, page, photometric="rgb", metadata=None, **packing)


def fix(path: Path, out: Path, *, with_networks: bool) -> None:
    """What `demoire fix` does, and one line of how it went."""
    config = CleanerConfig(device="cpu", gate="off" if with_networks else "auto")
    use_threads()
    keep_freed_memory()
    cleaner = Cleaner(config, None if with_networks else StandIns().models)
    start = time.perf_counter()
    (fixed,) = fix_images(find_images([path]), out, cleaner)
    seconds = time.perf_counter() - start
    cleaned = fixed.cleaned
    assert cleaned.facts is not None and fixed.image.path == path
    stages = {stage: round(spent / 1000, 1) for stage, spent in cleaned.milliseconds.items()}
    print(f"{cleaned.status}, {cleaned.facts.megapixels / seconds:.1f} MP/s, seconds {stages}")


def clean_as_unit(path: Path, out: Path) -> None:
    """What a job does with the page, apart from Ray."""
    use_threads()
    keep_freed_memory()
    cleaner = Cleaner(CleanerConfig(device="cpu"), StandIns().models)
    start = time.perf_counter()
    (unit,) = units_of(path.parent)
    ((member, page),) = read_members(unit.source, unit.members)
    assert not isinstance(page, ImageError)
    column = payload_column([page])
    del page
    ledger = Ledger(open_place(str(out)))
    attempt = UnitAttempt(unit, ledger.start(unit), "large-page", run_id="large-page")
    fetched = Fetched(unit, payloads_in(column[0]), (None,), milliseconds=0.0)
    del column
    outcomes = clean_unit(cleaner, fetched, attempt, on_image=lambda member, cleaned: None)
    del fetched
    commit = ledger.commit(unit, attempt.number, outcomes)
    status = outcomes[0].row.status
    del outcomes
    write_file(out / "mirrored", CleanedPayloads(ledger, [commit])(member.position))
    rate = unit.megapixels / (time.perf_counter() - start)
    print(f"as a unit: {status}, {rate:.1f} MP/s")


def watch(process: psutil.Process, ended: threading.Event, peak: Peak) -> None:
    """Look at the process and its children until they have ended."""
    while not ended.wait(_GLANCE):
        resident = 0.0
        anonymous = 0.0
        try:
            processes = [process, *process.children(recursive=True)]
            for number, each in enumerate(processes):
                held = _held(each.pid)
                resident += held["Pss"]
                anonymous += held["Pss_Anon"]
                if number == 0:
                    peak.own_anonymous = max(peak.own_anonymous, held["Pss_Anon"])
        except (psutil.Error, OSError):
            continue  # one has just ended
        peak.resident = max(peak.resident, resident)
        peak.anonymous = max(peak.anonymous, anonymous)


def _held(pid: int) -> dict[str, float]:
    """MB by name in the kernel's sum over a process's memory."""
    held = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, kilobytes = line.split(":")
        held[name] = int(kilobytes.split()[0]) * 1024 / 1e6
    return held


def measure(path: Path, *options: str) -> None:
    """Clean the page in a process of its own and print a line about it."""
    program = [sys.executable, "-m", "tests.benchmarks.large_page"]
    command = [*program, "--page", str(path), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = Peak()
    ended = threading.Event()
    arguments = (psutil.Process(process.pid), ended, peak)
    watcher = threading.Thread(target=watch, args=arguments)
    watcher.start()
    said, _ = process.communicate()
    ended.set()
    watcher.join()
    with Image.open(path) as page:
        megapixels = page.size[0] * page.size[1] / 1e6
    print(
        f"{path.name}: {megapixels:.0f} MP, file {path.stat().st_size / 1e6:.0f} MB; "
        f"resident {peak.resident:.0f} MB ({peak.resident / megapixels:.1f} bytes a pixel), "
        f"anonymous {peak.anonymous:.0f} MB, without children {peak.own_anonymous:.0f}; {said}",
        end="",
        flush=True,
    )


def main() -> None:
    """Measure all pages that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megapixels", type=float, nargs="+", default=[50, 100, 200])
    parser.add_argument("--formats", nargs="+", default=["jpeg", "tiff"])
    parser.add_argument("--networks", action="store_const", const="--networks")
    parser.add_argument("--unit", action="store_const", const="--unit")
    parser.add_argument("--page", type=Path)
    wanted = parser.parse_args()
    if wanted.page is not None:
        with tempfile.TemporaryDirectory() as out:
            if wanted.unit:
                clean_as_unit(wanted.page, Path(out))
            else:
                fix(wanted.page, Path(out), with_networks=bool(wanted.networks))
        return
    options = [option for option in (wanted.networks, wanted.unit) if option]
    for megapixels in wanted.megapixels:
        for form in wanted.formats:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, f"page.{form}")
                draw_page(path, megapixels)
                measure(path, *options)


if __name__ == "__main__":
    main()
