"""Publishing: when all units of a source are committed, its mirror, its report, its marker; and the
proof at the end.

First the mirror (`pipelines.publish.mirror`), then DST/_demoire/report/<source>.parquet with the
previews beside it, and last the marker DST/_demoire/published/<source>.json. As long as the marker
fits the source and the mirror is there, nothing is done again; whatever died in between is done
again with the same result.

Costs one read and one write of the source, and for the previews about 30 ms a megapixel of at most
twenty images.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import pyarrow as pa
import pyarrow.parquet as pq

from demoire.errors import DemoireError, ImageError
from pipelines.clean.ledger import Commit, Ledger
from pipelines.names import shown
from pipelines.plan.manifest import SourcePlan
from pipelines.plan.units import halves, make_unit
from pipelines.publish.marker import PUBLISHED, Published, read_marker
from pipelines.publish.mirror import (
    CleanedPayloads,
    Mirror,
    mirror_archive,
    mirror_folder,
    patch_archive,
    patch_folder,
)
from pipelines.publish.table import _Report
from pipelines.records import REPORT_SCHEMA, Member, Source, Unit
from pipelines.report.crops import preview_pair
from pipelines.report.previews import PREVIEWS, SHOWN, Preview
from pipelines.rows import Origin, as_text, quarantined, rows_to_table, source_name
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from pipelines.storage.local import local_temporary
from pipelines.storage.open import open_place
from pipelines.storage.place import Place

UNREADABLE, UNSAFE = "unreadable", "unsafe_name"


def publish_source(
    planned: SourcePlan,
    units: Sequence[Unit],
    dst: str,
    fingerprint: str,
    sample: int | None = None,
) -> Published:
    """Publish a source whose units, all of them given here, are committed.

    Raises SourceChangedError if it is no longer what was planned, DemoireError if a unit is not
    committed.
    """
    source, place, ledger = planned.source, open_place(dst), Ledger(dst)
    done = [(unit, commit) for unit in units for commit in _commits(ledger, unit, fingerprint)]
    cleaned = CleanedPayloads(ledger, [commit for _, commit in done])
    members = {member.position: member for unit in units for member in unit.members}
    if source.kind == "folder":
        mirror = mirror_folder(source, place, cleaned)
    else:
        whole = planned.images + planned.unsafe + planned.others if sample is None else None
        mirror = mirror_archive(source, place, cleaned, members, whole)
    report = _Report(place, source, mirror.refused)
    report.write([*_tables(ledger, done), *_uncleaned(planned, fingerprint)])
    _write_previews(place, source, _previews(source, report.most_changed, members, cleaned))
    marker = _marker(planned, mirror, report, fingerprint, sample)
    place.write(f"{PUBLISHED}/{source.id}.json", json.dumps(asdict(marker)).encode())
    return marker


def publish_retry(
    planned: SourcePlan, units: Sequence[Unit], dst: str, fingerprint: str, generation: int
) -> Published:
    """Take what a retry made of some images into a source's mirror and report; all else in them
    stays.

    It is the mirror that is written anew, not the source: this needs nothing of what `gc` removes.
    """
    source, place, ledger = planned.source, open_place(dst), Ledger(dst)
    before = read_marker(place, source.id)
    if before is None:
        raise DemoireError(
            f"{shown(source.uri)} is not published yet: run `demoire clean` before a retry."
        )
    done = [(unit, commit) for unit in units for commit in _commits(ledger, unit, fingerprint)]
    cleaned = CleanedPayloads(ledger, [commit for _, commit in done])
    members = {member.position: member for unit in units for member in unit.members}
    mirror = Mirror(before.size, before.files, before.withheld)
    if cleaned.positions and source.kind == "folder":
        patch_folder(source, place, cleaned, members)
    elif cleaned.positions:
        mirror = patch_archive(source, place, cleaned, members)
    report = _Report(place, source, mirror.refused)
    report.replace(pa.concat_tables(_tables(ledger, done)))
    previews = _previews(source, report.most_changed, members, cleaned)
    _write_previews(place, source, [*_read_previews(place, source), *previews])
    marker = _marker(planned, mirror, report, before.fingerprint, before.sample)
    marker = replace(marker, generation=generation, others=before.others)
    place.write(f"{PUBLISHED}/{source.id}.json", json.dumps(asdict(marker)).encode())
    return marker


def _commits(ledger: Ledger, unit: Unit, fingerprint: str) -> list[Commit]:
    """The commits that make up a planned unit: its own, or those of its halves."""
    if ledger.has(unit.id):
        return [ledger.read(unit.id)]
    if len(unit.members) == 1:
        raise DemoireError(
            f"{shown(unit.source.uri)} is not wholly cleaned yet: run the same command again."
        )
    return [
        commit
        for half in halves(unit, fingerprint)
        for commit in _commits(ledger, half, fingerprint)
    ]


def _tables(ledger: Ledger, done: Iterable[tuple[Unit, Commit]]) -> Iterator[pa.Table]:
    """The rows of each commit, under the unit that was planned: that it was halved on the way is
    nobody's matter.
    """
    place = REPORT_SCHEMA.get_field_index("unit_id")
    for unit, commit in done:
        rows = ledger.rows(commit)
        yield rows.set_column(
            place, REPORT_SCHEMA.field(place), pa.array([unit.id] * rows.num_rows)
        )


def _uncleaned(planned: SourcePlan, fingerprint: str) -> Iterator[pa.Table]:
    """The rows of what no unit holds: unsafe members, and an archive that could not be opened."""
    members = []
    if planned.unsafe:
        members = [(member, UNSAFE) for member in index(planned.source).unsafe]
    if planned.damaged is not None:
        size = planned.source.size
        members = [(Member(-1, "", "unsafe", -1, size, size, "stored", "", 0.0), UNREADABLE)]
    if members:
        origin = Origin(make_unit(planned.source, [], fingerprint), 0, fingerprint, "")
        yield rows_to_table([quarantined(member, reason, origin).row for member, reason in members])


def _previews(
    source: Source,
    chosen: Sequence[tuple[float, int]],
    members: Mapping[int, Member],
    cleaned: CleanedPayloads,
) -> list[Preview]:
    """Before and after of the chosen images (PSNR, position) that are at hand."""
    psnr = {position: value for value, position in chosen if position in cleaned.positions}
    found = []
    for member, before in (
        read_members(source, [members[position] for position in sorted(psnr)]) if psnr else ()
    ):
        try:
            pair = (
                preview_pair(before, cleaned(member.position))
                if isinstance(before, bytes)
                else None
            )
        except (ImageError, ValueError):
            continue
        if pair is not None:
            found.append(
                Preview(source_name(source), as_text(member.name), 0, psnr[member.position], *pair)
            )
    return found


def _write_previews(place: Place, source: Source, previews: Sequence[Preview]) -> None:
    path = f"{PREVIEWS}/{source.id}.parquet"
    if not previews:
        place.delete(path)
        return
    best = heapq.nsmallest(SHOWN, previews, key=lambda preview: preview.psnr_vs_input)
    with local_temporary() as local:
        pq.write_table(pa.Table.from_pylist([asdict(preview) for preview in best]), local)
        place.put_file(local, path)


def _read_previews(place: Place, source: Source) -> list[Preview]:
    path = f"{PREVIEWS}/{source.id}.parquet"
    if not place.exists(path):
        return []
    with place.open(path) as file:
        return [Preview(**row) for row in pq.read_table(file).to_pylist()]


def _marker(
    planned: SourcePlan, mirror: Mirror, report: _Report, fingerprint: str, sample: int | None
) -> Published:
    return Published(
        source_id=planned.source.id,
        path=as_text(planned.source.path),
        version=planned.source.version,
        fingerprint=fingerprint,
        sample=sample,
        generation=0,
        size=mirror.size,
        files=mirror.files,
        withheld=mirror.withheld,
        others=planned.others,
        cleaned=report.statuses["cleaned"],
        copied=report.statuses["copied"],
        quarantined=report.statuses["quarantined"],
        megapixels=report.megapixels,
        moire_before=report.moire_before,
        moire_after=report.moire_after,
    )
