"""A small collection of every kind of source, and ways to look at what a job made of it."""

import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.destination.destination import Destination
from pipelines.job import CleanJob, RunSummary
from pipelines.records import REPORT_SCHEMA
from pipelines.status import JobStatus, status
from tests.pipelines.conftest import draw, half_moire, read_tar, write_tar, write_zip

TEXT = b"no picture, whatever the name says"
CUT = draw(True, 50)[:1500]
LARGE = draw(True, 60, side=160)

# What may differ between two runs over the same images.
PASSING = [
    "run_id",
    "attempt",
    "host",
    "finished_at",
    *(name for name in REPORT_SCHEMA.names if name[:3] == "ms_"),
]


def make_box(box: Path) -> Path:
    """A tar, a tar.gz, a zip and a folder of pictures, every second one striped.

    Among them are four that are larger than the configuration lets in, one that is cut short, and
    one that is a text.
    """
    (box / "loose").mkdir(parents=True)
    write_tar(
        box / "a.tar",
        {**half_moire(5), "n.txt": b"notes", "cut.jpg": CUT, "text.jpg": TEXT, "large.jpg": LARGE},
    )
    write_tar(
        box / "b.tar.gz",
        {"readme.txt": b"read me", "large.jpg": LARGE, **half_moire(4, 10)},
        "w:gz",
    )
    write_zip(
        box / "c.zip", {**half_moire(3, 20), "large.jpg": LARGE, "d/list.csv": b"1;2\n" * 100}
    )
    for name, data in {**half_moire(3, 30), "large.jpg": LARGE, "notes.txt": b"more notes"}.items():
        (box / "loose" / name).write_bytes(data)
    return box


def read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def contents(box: Path) -> dict[str, bytes]:
    """All members of a box, or of its mirror, by archive and name."""
    found = {f"a.tar/{name}": data for name, data in read_tar(box / "a.tar").items()}
    found |= {f"b.tar.gz/{name}": data for name, data in read_tar(box / "b.tar.gz").items()}
    found |= {f"c.zip/{name}": data for name, data in read_zip(box / "c.zip").items()}
    return found | {f"loose/{path.name}": path.read_bytes() for path in (box / "loose").iterdir()}


def report_of(dst: Path) -> pa.Table:
    """All report rows under DST, in the order of sources and members."""
    tables = [
        pq.read_table(path) for path in sorted((dst / "_demoire" / "report").glob("*.parquet"))
    ]
    return pa.concat_tables(tables).sort_by([("source", "ascending"), ("member", "ascending")])


def outcomes(dst: Path) -> dict[str, tuple[str, str | None]]:
    """Status and reason of every image by source and member."""
    return {
        f"{r['source']}/{r['member']}": (r["status"], r["reason"])
        for r in report_of(dst).to_pylist()
    }


def status_of(job: CleanJob) -> JobStatus:
    return status(Destination.at(job.dst))


def assert_same_reports(one: Path, other: Path) -> None:
    assert report_of(one).drop_columns(PASSING).equals(report_of(other).drop_columns(PASSING))


def traces(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file: any write changes them, even one of the same bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in files
    }


@dataclass(frozen=True)
class Finished:
    """A job that was run once and undisturbed."""

    job: CleanJob
    summary: RunSummary

    @property
    def src(self) -> Path:
        return Path(self.job.src)

    @property
    def dst(self) -> Path:
        return Path(self.job.dst)

    def copied_to(self, dst: Path) -> CleanJob:
        """The same job with a DST of its own, in the state of the finished one."""
        shutil.copytree(self.dst, dst)
        return replace(self.job, dst=str(dst))
