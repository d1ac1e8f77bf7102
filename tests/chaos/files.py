"""Hostile files by the ten thousand through the whole job: each has its row, nothing dies, and
memory stays bounded.
"""

import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from pipelines.names import as_text
from tests.chaos.collection import family, report_of, start_clean, title
from tests.chaos.mutated_images import mutated_images
from tests.chaos.traps.hostile import hostile_archives
from tests.pipelines.conftest import read_tar, write_tar

_AN_ARCHIVE = 250
_LOOK_AGAIN = 0.2  # seconds between two looks at the memory


@dataclass
class HostileRun:
    """What became of hostile files."""

    files: int  # mutated images
    traps: int  # hostile archives and folders
    mutations: int  # kinds
    status: int = -1  # of the command
    rows: int = 0
    missing: list[str] = field(default_factory=list)  # images without a row, or not in the mirror
    doubled: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)  # not cleaned, and yet not what they were
    # good pictures that their trap has spoilt
    good_quarantined: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)  # images by status and reason
    deaths: int = 0  # of processes that had a unit in hand
    peaks: dict[str, int] = field(default_factory=dict)  # MB by role of the process

    @property
    def proved(self) -> bool:
        return (
            self.status == 0 and not self.missing + self.doubled + self.altered and not self.deaths
        )


def run_hostile_files(
    config: Path, work: Path, count: int, seed: int, extra_parents: Path | None
) -> HostileRun:
    """Clean tars of mutated images and all hostile archives in one run, and look into everything
    that comes of it.
    """
    box, dst, log = work / "hostile", work / "hostile-out", work / "hostile.log"
    box.mkdir()
    images, kinds = _pack(box, count, seed, extra_parents)
    traps = hostile_archives(box / "traps", seed)
    found = HostileRun(len(images), len(traps), len(kinds))
    run = start_clean(str(box), str(dst), config, log, "--workers", "1")
    with _watching_memory(run) as found.peaks:
        found.status = run.wait()
    if found.status:
        return found
    _check_rows(found, dst, images)
    _check_mirrors(found, dst, images)
    bookkeeping = dst / "_demoire"
    begun = list((bookkeeping / "attempts").glob("*.json"))
    done = [*(bookkeeping / "commits").glob("*.json"), *(bookkeeping / "bundles").glob("*.json")]
    found.deaths = len(begun) - len(done)
    return found


def _pack(
    box: Path, count: int, seed: int, extra_parents: Path | None
) -> tuple[dict[str, bytes], set[str]]:
    """Tars of mutated images; all images by 'archive/name', and the kinds of mutations among
    them.
    """
    images: dict[str, bytes] = {}
    kinds: set[str] = set()
    coming = mutated_images(count, seed, extra_parents)
    number = 0
    while some := list(islice(coming, _AN_ARCHIVE)):
        archive = f"{number:03}.tar"
        write_tar(box / archive, {name: data for name, _, data in some})
        images |= {f"{archive}/{as_text(name)}": data for name, _, data in some}
        kinds |= {kind for _, kind, _ in some}
        number += 1
    return images, kinds


def _check_rows(found: HostileRun, dst: Path, images: dict[str, bytes]) -> None:
    rows = report_of(dst).select(["source", "member", "image_id", "status", "reason"]).to_pylist()
    found.rows = len(rows)
    found.outcomes = Counter(f"{row['status']} {row['reason'] or ''}".strip() for row in rows)
    ids = Counter(row["image_id"] for row in rows)
    found.doubled = [image_id for image_id, times in ids.items() if times > 1]
    named = {_file_of(row) for row in rows}
    for name in sorted(images.keys() - named):
        # A PDF whose pictures are gone, as far as a reader can tell, has no row.
        if not name.endswith(".pdf"):
            found.missing.append(name)
    found.good_quarantined = [
        f"{row['source']}/{row['member']}"
        for row in rows
        if row["member"].startswith("good-") and row["status"] == "quarantined"
    ]


def _file_of(row: dict[str, Any]) -> str:
    """Which file a row is about: a file of several pages has a row for each."""
    file, _, _ = row["member"].partition("!/")
    return f"{row['source']}/{file}"


def _check_mirrors(found: HostileRun, dst: Path, images: dict[str, bytes]) -> None:
    """Whatever was not cleaned has to be there as it came, and whatever was as the report says."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in report_of(dst).to_pylist():
        rows.setdefault(_file_of(row), []).append(row)
    for archive in sorted({name.partition("/")[0] for name in images}):
        members = {
            f"{archive}/{as_text(name)}": data for name, data in read_tar(dst / archive).items()
        }
        for name in (name for name in images if name.startswith(f"{archive}/")):
            if name not in members:
                found.missing.append(name)
            elif not _is_right(rows.get(name, []), images[name], members[name]):
                found.altered.append(name)


def _is_right(rows: list[dict[str, Any]], before: bytes, after: bytes) -> bool:
    cleaned = [row for row in rows if row["status"] == "cleaned"]
    if not cleaned:
        return before == after
    if len(rows) > 1:  # the rows are about pages, and there is none about the whole file
        return before != after
    return bool(sha256(after).hexdigest() == cleaned[0]["sha256_out"])


@contextmanager
def _watching_memory(run: subprocess.Popen[bytes]) -> Iterator[dict[str, int]]:
    """The most memory, MB, that any process of each role has taken while the block ran."""
    peaks: dict[str, int] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_AGAIN):
            for process in family(run):
                role = _role(title(process))
                with suppress(psutil.Error, OSError, StopIteration):
                    peaks[role] = max(peaks.get(role, 0), _peak(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def _peak(pid: int) -> int:
    """The high-water mark of a process's resident memory, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) >> 10


def _role(name: str) -> str:
    if name.startswith("ray::"):
        return "cleaning worker" if "CleaningActor" in name else "other worker"
    return "decoder" if "demoire.imaging.guard" in name else "Ray itself"
