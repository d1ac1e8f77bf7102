"""Report tables as publishing leaves them, written by hand: every figure of the report is known."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.records import REPORT_SCHEMA, ReportRow
from pipelines.report.crops import preview_pair

_DRAWN = 5  # pictures that previews show
START = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\">.jpg",
    "\"><script>document.title='pwned'</script>.jpg",
    "</title></style><svg onload=document.title='pwned'>.png",
    "{{ 7 * 7 }}{% raise %}.jpg",
    "box/\u202egpj.exe\x1b[31m.jpg",
)


def row(source: str, member: str, status: str = "copied", **values: object) -> ReportRow:
    """A row as publishing writes them; what a test is about goes into `values`."""
    facts: dict[str, object] = {
        "source": source,
        "member": member,
        "page": 0,
        "image_id": f"{source}/{member}",
        "source_kind": "tar",
        "width": 2000,
        "height": 1500,
        "mode": "RGB",
        "bits": 8,
        "dpi": 300.0,
        "icc": None,
        "bytes_in": 900_000,
        "bytes_out": 900_000,
        "sha256_in": "00",
        "sha256_out": "00",
        "status": status,
        "reason": None,
        "moire_before": 0.02,
        "moire_after": None,
        "moire_kind": "none",
        "tiles": 48,
        "tiles_restored": 0,
        "psnr_vs_input": None,
        "ssim_vs_input": None,
        "colour_shift": None,
        "psnr_vs_reference": None,
        "ssim_vs_reference": None,
        "ms_fetch": 2.0,
        "ms_decode": 40.0,
        "ms_detect": 60.0,
        "ms_restore": 0.0,
        "ms_encode": 0.0,
        "weights_digest": "ab" * 32,
        "config_fingerprint": "cd" * 32,
        "unit_id": "ef" * 32,
        "attempt": 1,
        "run_id": "20260301-220000-5f0c",
        "host": "nightshift",
        "device": "cpu",
        "finished_at": START,
    }
    return ReportRow(**{**facts, **values})  # type: ignore[arg-type]


def cleaned(source: str, member: str, before: float = 0.97, **values: object) -> ReportRow:
    """A row of an image that was cleaned."""
    facts: dict[str, object] = {
        "moire_kind": "screen",
        "moire_before": before,
        "moire_after": 0.04,
        "tiles_restored": 40,
        "psnr_vs_input": 27.5,
        "ssim_vs_input": 0.93,
        "colour_shift": 1.1,
        "ms_restore": 600.0,
        "ms_encode": 90.0,
        "bytes_out": 700_000,
    }
    return row(source, member, "cleaned", **{**facts, **values})


def quarantined(source: str, member: str, reason: str = "truncated") -> ReportRow:
    """A row of an image that could not be read."""
    facts: dict[str, object] = {"width": None, "height": None, "moire_before": None}
    return row(source, member, "quarantined", reason=reason, **facts)


def publish(dst: Path, name: str, rows: list[ReportRow]) -> None:
    """Write a report table."""
    folder = dst / "_demoire/report"
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([asdict(one) for one in rows], REPORT_SCHEMA)
    pq.write_table(table, folder / f"{name}.parquet")


def stripes(seed: int, strength: float, side: int = 640) -> bytes:
    """A PNG of soft shapes under diagonal colour stripes of this strength."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 6, 3)).astype(np.float32)
    shapes = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    along = x * 0.9 + y * 0.25
    waves = np.stack([np.sin(along * (0.5 + 0.02 * c) + c) for c in range(3)], axis=2)
    picture = (shapes * 160 + 40 + strength * waves).clip(0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@cache
def preview_of(number: int) -> tuple[bytes, bytes]:
    """One of a few pictures before and after, cut out; drawing them is slow."""
    return preview_pair(stripes(number, 30), stripes(number, 0))


def publish_previews(dst: Path, name: str, previews: list[tuple[str, str, float]]) -> None:
    """Previews as publishing keeps them: (source, member, PSNR against the input)."""
    folder = dst / "_demoire/page/previews"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (source, member, psnr) in enumerate(previews):
        before, after = preview_of(number % _DRAWN)
        facts = {"source": source, "member": member, "page": 0, "psnr_vs_input": psnr}
        rows.append({**facts, "before": before, "after": after})
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


@pytest.fixture
def dst(tmp_path: Path) -> Path:
    """Two published archives: 3 cleaned, 40 copied, 2 quarantined."""
    publish_two_archives(tmp_path)
    return tmp_path


def publish_two_archives(folder: Path) -> None:
    """What `dst` has."""
    first = [cleaned("box-1.tar", f"scan-{n}.jpg", before=0.9 + n / 100) for n in range(2)]
    first += [
        row("box-1.tar", f"page-{n}.jpg", finished_at=START + timedelta(minutes=n))
        for n in range(40)
    ]
    second = [cleaned("box-2.tar", "print.tif", moire_kind="halftone", psnr_vs_input=22.5)]
    second += [
        quarantined("box-2.tar", "cut.jpg"),
        quarantined("box-2.tar", "note.jpg", "not_an_image"),
    ]
    publish(folder, "aaaa", first)
    publish(folder, "bbbb", second)
    publish_previews(folder, "aaaa", [("box-1.tar", f"scan-{n}.jpg", 27.5 + n) for n in range(2)])
    publish_previews(folder, "bbbb", [("box-2.tar", "print.tif", 22.5)])
