"""Report rows: one an image, made where it is cleaned or given up."""

import io
import socket
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.records import REPORT_SCHEMA, Member, ReportRow, Source, Unit

if TYPE_CHECKING:
    from demoire.cleaning.result import Cleaned


@dataclass(frozen=True)
class Outcome:
    """What became of one image of a unit, on its way into the ledger."""

    member: Member
    row: ReportRow
    payload: bytes | None  # None unless cleaned


@dataclass(frozen=True)
class Origin:
    """Where the rows of a unit come from: what is the same in all of them."""

    unit: Unit
    attempt: int
    fingerprint: str
    run_id: str
    weights_digest: str = ""
    device: str = ""
    milliseconds: float = 0.0  # of fetching, an image


def quarantined(member: Member, reason: str, origin: Origin) -> Outcome:
    """An image of which no process has seen the bytes, or lived to tell."""
    return Outcome(member, _row(member, origin, reason=reason), None)


_FACTS = ("width", "height", "mode", "bits", "dpi", "icc")


_SCORES = (
    "moire_before",
    "moire_after",
    "moire_kind",
    "psnr_vs_input",
    "ssim_vs_input",
    "colour_shift",
)


_STAGES = ("decode", "detect", "restore", "encode")


def _row(
    member: Member,
    origin: Origin,
    cleaned: "Cleaned | None" = None,
    original: bytes | None = None,
    reason: str | None = None,
) -> ReportRow:
    """The report row of one image; without `cleaned` that of one in quarantine."""
    facts = cleaned.facts if cleaned else None
    spent: dict[Any, float] = dict(cleaned.milliseconds) if cleaned else {}
    known: dict[str, Any] = {name: getattr(facts, name, None) for name in _FACTS}
    known |= {name: getattr(cleaned, name, None) for name in _SCORES}
    known |= {f"ms_{stage}": spent.get(stage, 0.0) for stage in _STAGES}
    digest_in = sha256(original).hexdigest() if original is not None else None
    return ReportRow(
        source=source_name(origin.unit.source),
        member=as_text(member.name),
        page=0,
        image_id=image_id(origin.unit.source, member),
        source_kind=origin.unit.source.kind,
        bytes_in=member.size if original is None else len(original),
        bytes_out=len(cleaned.data) if cleaned else member.size,
        sha256_in=digest_in,
        sha256_out=sha256(cleaned.data).hexdigest()
        if cleaned and cleaned.status == "cleaned"
        else digest_in,
        status=cleaned.status if cleaned else "quarantined",
        reason=cleaned.reason if cleaned else reason,
        tiles=cleaned.cells if cleaned else 0,
        tiles_restored=cleaned.cells_restored if cleaned else 0,
        psnr_vs_reference=None,
        ssim_vs_reference=None,
        ms_fetch=origin.milliseconds,
        weights_digest=origin.weights_digest,
        config_fingerprint=origin.fingerprint,
        unit_id=origin.unit.id,
        attempt=origin.attempt,
        run_id=origin.run_id,
        host=socket.gethostname(),
        device=origin.device,
        finished_at=datetime.now(UTC),
        **known,
    )


def image_id(source: Source, member: Member) -> str:
    """Names an image for good: its source and its place in it."""
    return f"{source.id}/{member.position}"


def source_name(source: Source) -> str:
    """A source as the report names it: by its place under DST."""
    return as_text(source.path or source.uri)


def as_text(name: str) -> str:
    """A name that need not be UTF-8, as text that is."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def rows_to_parquet(rows: Sequence[ReportRow]) -> bytes:
    """Report rows as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(rows_to_table(rows), buffer, compression="zstd")
    return buffer.getvalue()


def rows_to_table(rows: Sequence[ReportRow]) -> pa.Table:
    """Report rows as a table of the report's schema."""
    return pa.Table.from_pylist(
        [{f.name: getattr(row, f.name) for f in fields(row)} for row in rows], REPORT_SCHEMA
    )
