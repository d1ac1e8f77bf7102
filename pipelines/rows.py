"""Report rows: one an image, made where it is cleaned or given up."""

import io
import socket
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from demoire.file_bytes import FileBytes, digest_of
from demoire.reasons import Reason
from pipelines.layout import image_id
from pipelines.names import as_text
from pipelines.records import REPORT_SCHEMA, Member, ReportRow, Source, Unit
from pipelines.sources.inner_positions import page_number

if TYPE_CHECKING:
    from demoire.cleaning.result import Cleaned


@dataclass(frozen=True)
class CleanedFile:
    """The bytes of a cleaned image, with the digest that report and ledger both name them by."""

    data: FileBytes
    sha256: str

    @staticmethod
    def of(data: FileBytes) -> "CleanedFile":
        """The file of these bytes; hashes them."""
        return CleanedFile(data, digest_of(data))


@dataclass(frozen=True)
class Outcome:
    """What became of one image of a unit, on its way into the ledger."""

    member: Member
    row: ReportRow
    cleaned: CleanedFile | None  # None where the image stays as it was


@dataclass(frozen=True)
class UnitAttempt:
    """One attempt at a unit: what is the same in all the rows that come of it."""

    unit: Unit
    number: int  # from 1; 0 for rows that no attempt was needed for
    fingerprint: str
    run_id: str
    weights_digest: str = ""
    device: str = ""
    fetch_milliseconds: float = 0.0  # an image


def quarantined(member: Member, reason: str, attempt: UnitAttempt) -> Outcome:
    """The outcome of an image whose bytes no process has seen, or none survived."""
    row = replace(_unseen_row(member, attempt), status="quarantined", reason=reason)
    return Outcome(member, row, None)


def unread(member: Member, reason: Reason, attempt: UnitAttempt) -> Outcome:
    """The outcome of an image that could not be read, or was not to be."""
    row = replace(_unseen_row(member, attempt), status=reason.status, reason=reason.value)
    return Outcome(member, row, None)


def withheld_row(member: Member, attempt: UnitAttempt) -> ReportRow:
    """The row of something that is not in the mirror, for the reason that the member gives."""
    row = _unseen_row(member, attempt)
    return replace(row, status="withheld", reason=member.reason, bytes_out=0)


def cleaner_outcome(
    member: Member, original: FileBytes, cleaned: "Cleaned", attempt: UnitAttempt
) -> Outcome:
    """The outcome of an image that went through the Cleaner.

    Args:
        member: The image.
        original: Its bytes as they went in.
        cleaned: What the Cleaner said of it.
        attempt: The attempt at its unit.
    """
    digest_in = digest_of(original)
    digest_out = digest_in
    file = None
    if cleaned.status == "cleaned":
        file = CleanedFile.of(cleaned.data)
        digest_out = file.sha256
    row = replace(
        _unseen_row(member, attempt),
        bytes_in=len(original),
        bytes_out=len(cleaned.data),
        sha256_in=digest_in,
        sha256_out=digest_out,
        status=cleaned.status,
        reason=cleaned.reason,
        moire_before=cleaned.moire_before,
        moire_after=cleaned.moire_after,
        moire_kind=cleaned.moire_kind,
        tiles=cleaned.cells,
        tiles_restored=cleaned.cells_restored,
        psnr_vs_input=cleaned.psnr_vs_input,
        ssim_vs_input=cleaned.ssim_vs_input,
        colour_shift=cleaned.colour_shift,
        ms_decode=cleaned.milliseconds.get("decode", 0.0),
        ms_detect=cleaned.milliseconds.get("detect", 0.0),
        ms_restore=cleaned.milliseconds.get("restore", 0.0),
        ms_encode=cleaned.milliseconds.get("encode", 0.0),
    )
    facts = cleaned.facts
    if facts is not None:
        dpi = facts.dpi if member.dpi is None else member.dpi
        row = replace(
            row,
            width=facts.width,
            height=facts.height,
            mode=facts.mode,
            bits=facts.bits,
            dpi=dpi,
            icc=facts.icc,
        )
    return Outcome(member, row, file)


def _unseen_row(member: Member, attempt: UnitAttempt) -> ReportRow:
    """The row of an image of which only the index is known."""
    source = attempt.unit.source
    return ReportRow(
        source=source_name(source),
        member=as_text(member.name),
        page=page_number(source, member),
        image_id=image_id(source.id, member.position),
        source_kind=source.kind,
        width=None,
        height=None,
        mode=None,
        bits=None,
        dpi=member.dpi,
        icc=None,
        bytes_in=member.size,
        bytes_out=member.size,
        sha256_in=None,
        sha256_out=None,
        status="quarantined",
        reason=None,
        moire_before=None,
        moire_after=None,
        moire_kind=None,
        tiles=0,
        tiles_restored=0,
        psnr_vs_input=None,
        ssim_vs_input=None,
        colour_shift=None,
        psnr_vs_reference=None,
        ssim_vs_reference=None,
        ms_fetch=attempt.fetch_milliseconds,
        ms_decode=0.0,
        ms_detect=0.0,
        ms_restore=0.0,
        ms_encode=0.0,
        weights_digest=attempt.weights_digest,
        config_fingerprint=attempt.fingerprint,
        unit_id=attempt.unit.id,
        attempt=attempt.number,
        run_id=attempt.run_id,
        host=socket.gethostname(),
        device=attempt.device,
        finished_at=datetime.now(UTC),
    )


def source_name(source: Source) -> str:
    """A source as the report names it: by its path under DST."""
    return as_text(source.path or source.uri)


def rows_to_parquet(rows: Sequence[ReportRow]) -> bytes:
    """Report rows as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(rows_to_table(rows), buffer, compression="zstd")
    return buffer.getvalue()


def rows_to_table(rows: Sequence[ReportRow]) -> pa.Table:
    """Report rows as a table of the report's schema."""
    names = [column.name for column in fields(ReportRow)]
    values = [{name: getattr(row, name) for name in names} for row in rows]
    return pa.Table.from_pylist(values, REPORT_SCHEMA)
