"""The collection that a campaign works on, and what is compared between an undisturbed run and a
tortured one.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pikepdf
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from PIL import Image

from demoire.cleaning.config import CleanerConfig
from pipelines.records import REPORT_SCHEMA
from tests.chaos.odd_sources import add_odd_sources
from tests.demoire.imaging.pdf.drawn_pdf import add_page, jpeg_picture_of
from tests.pipelines.conftest import SIDE, draw, write_tar, write_zip
from tests.pipelines.sources.formats.streams import COMPRESS

ROOT = Path(__file__).parents[2]
SMALL_PAGES = 20  # of the TIFF, and of the PDF: more than fit into one unit with all else beside
FEW_PAGES = 3  # of those in archives

# What may differ between two runs over the same images: when, by whom, and how often they were
# tried.
PASSING = [
    "run_id",
    "attempt",
    "host",
    "finished_at",
    *(name for name in REPORT_SCHEMA.names if name[:3] == "ms_"),
]


def make_collection(box: Path, images: int, side: int = 448, pages: int = SMALL_PAGES) -> int:
    """Two tars, a tar.gz, a zip and a folder of pictures, every second one striped; a few of them
    are cut short. In the folder are a TIFF and a PDF of many small pages as well, and beside it
    archives of other kinds, with pages in them, and odd sources.

    Returns how many pictures there are.
    """
    (box / "loose").mkdir(parents=True)
    share = images // 5
    # drawn twice and a half: drawing is slow
    pictures = [draw(i % 2 == 0, i, side=side) for i in range(2 * share)]

    def some(start: int) -> dict[str, bytes]:
        chosen = (pictures[(start + i) % len(pictures)] for i in range(share))
        return {f"img_{start + i:04}.jpg": data for i, data in enumerate(chosen)}

    write_tar(box / "a.tar", {**some(0), "cut.jpg": pictures[0][:1500], "notes.txt": b"notes"})
    write_tar(box / "b.tar", some(share))
    write_tar(box / "c.tar.gz", {"read.me": b"read me", **some(2 * share)}, "w:gz")
    write_zip(box / "d.zip", {**some(3 * share), "e/list.csv": b"1;2\n" * 100})
    for name, data in {
        **some(4 * share),
        "text.jpg": b"no picture",
        "notes.txt": b"more notes",
    }.items():
        (box / "loose" / name).write_bytes(data)
    small = [draw(i % 2 == 0, i) for i in range(SMALL_PAGES)]
    many = [small[number % SMALL_PAGES] for number in range(pages)]
    write_pages(box / "loose" / "pages.tif", many)
    write_scan(box / "loose" / "scan.pdf", many)
    added = add_containers(box, small[:FEW_PAGES]) + add_odd_sources(box, pictures[1])
    added += add_newer_files(box / "loose", small[:FEW_PAGES])
    return 5 * share + 2 + 2 * pages + added


def add_containers(box: Path, pictures: Sequence[bytes]) -> int:
    """Archives of the other kinds, each with a picture, a TIFF and a PDF of these pages; how many
    images these are.
    """
    write_pages(box / "made.tif", pictures)
    write_scan(box / "made.pdf", pictures)
    members = {"one.jpg": pictures[0]}
    for suffix in ("tif", "pdf"):
        made = box / f"made.{suffix}"
        members[f"scan.{suffix}"] = made.read_bytes()
        made.unlink()
    tar = write_tar(box / "e.cbt", members).read_bytes()
    zipped = write_zip(box / "f.cbz", members).read_bytes()
    for kind in ("tar.bz2", "tar.xz", "tar.zst"):
        (box / f"g.{kind}").write_bytes(COMPRESS[kind](tar))
    write_tar(box / "h.tar", {"in.zip": zipped, "in.tar": tar})
    archives = 7  # two of them inside the last
    return archives * (1 + 2 * len(pictures))


def add_newer_files(folder: Path, pictures: Sequence[bytes]) -> int:
    """An AVIF, a JPEG XL and an encrypted PDF that anyone may open; how many images these are."""
    striped = Image.open(io.BytesIO(pictures[0]))
    striped.save(folder / "one.avif", quality=80)
    pixels = np.asarray(striped)
    (folder / "one.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    key = pikepdf.Encryption(owner="owner", user="")
    write_scan(folder / "locked.pdf", pictures, encryption=key)
    return 2 + len(pictures)


def write_pages(path: Path, pictures: Sequence[bytes]) -> None:
    """A TIFF of a page a picture."""
    with tifffile.TiffWriter(path) as writer:
        for data in pictures:
            pixels = np.asarray(Image.open(io.BytesIO(data)))
            writer.write(pixels, photometric="rgb", metadata=None, compression="zlib")


def write_scan(path: Path, pictures: Sequence[bytes], **options: Any) -> None:
    """A PDF of a page a picture; `options` of pikepdf's `save`."""
    with pikepdf.new() as pdf:
        for data in pictures:
            add_page(pdf, jpeg_picture_of(pdf, data, side=SIDE))
        pdf.save(path, **options)


def write_config(config: CleanerConfig, file: Path) -> Path:
    """The file for --config that says the same."""
    file.write_text(
        f'detector = "{config.detector}"\nrestorer = "{config.restorer}"\n'
        f"threshold = {config.threshold}\n"
        'device = "cpu"\nthreads = 1\n'
    )
    return file


@dataclass(frozen=True)
class Published:
    """What is to be seen under a DST: a digest of the mirrors, one of the report, and how often
    each image is in it.
    """

    mirrors: str
    report: str
    rows: Mapping[str, int]  # by image id

    def lost(self, than: "Published") -> int:
        return len(than.rows.keys() - self.rows.keys())

    @property
    def doubled(self) -> int:
        return sum(count - 1 for count in self.rows.values())


def published(dst: Path) -> Published:
    """Digests over every byte of the mirrors, and over all of the report but what may differ."""
    mirrors = hashlib.sha256()
    for path in sorted(path for path in dst.rglob("*") if path.is_file()):
        name = str(path.relative_to(dst))
        if not name.startswith("_demoire/"):
            mirrors.update(
                json.dumps([name, hashlib.sha256(path.read_bytes()).hexdigest()]).encode()
            )
    rows = report_of(dst)
    sink = io.BytesIO()
    with pa.ipc.new_stream(
        sink, (kept := rows.drop_columns(PASSING).combine_chunks()).schema
    ) as stream:
        stream.write_table(kept)
    report = hashlib.sha256(sink.getvalue()).hexdigest()
    return Published(mirrors.hexdigest(), report, Counter(rows["image_id"].to_pylist()))


def report_of(dst: Path) -> pa.Table:
    """All report rows under DST, in the order of sources and places in them."""
    tables = [
        pq.read_table(path) for path in sorted((dst / "_demoire" / "report").glob("*.parquet"))
    ]
    return pa.concat_tables(tables).sort_by([("source", "ascending"), ("image_id", "ascending")])


def start_clean(
    src: str,
    dst: str,
    config: Path,
    log: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """`demoire clean` in a process of its own; what it says goes to the end of a log."""
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "clean",
        src,
        dst,
        "--config",
        str(config),
        *options,
    ]
    with log.open("ab") as out:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )


def end_with_all(process: subprocess.Popen[bytes], patience: float = 3) -> None:
    """Kill a process, and what Ray leaves of it once it is dead."""
    started = family(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=patience)
    for survivor in alive:
        survivor.kill()
    psutil.wait_procs(alive)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All processes below this one."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def title(process: psutil.Process) -> str:
    """What a process calls itself; Ray's workers say what they do."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def tables(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
