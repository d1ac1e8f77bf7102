"""Publishing: when all units of a source are committed, its mirror, its report, its marker; and the proof at the end.

First the mirror (`pipelines.publish.mirror`), then DST/_demoire/report/<source>.parquet with the previews beside it,
and last the marker DST/_demoire/published/<source>.json. As long as the marker fits the source and the mirror is there,
nothing is done again; whatever died in between is done again with the same result.

Costs one read and one write of the source, and for the previews about 30 ms a megapixel of at most twenty images.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demoire.errors import DemoireError, ImageError, ProofError
from pipelines.clean.ledger import Commit, Ledger, halves, rows_to_table
from pipelines.clean.wave import Origin, as_text, quarantined, source_name
from pipelines.plan.plan import Plan, SourcePlan, make_unit
from pipelines.publish.mirror import CleanedPayloads, Mirror, mirror_archive, mirror_folder, patch_archive, patch_folder
from pipelines.records import REPORT_SCHEMA, Member, Source, Unit
from pipelines.report.previews import PREVIEWS, SHOWN, Preview, preview_pair
from pipelines.report.summary import REPORT
from pipelines.sources.members import archive_kind
from pipelines.sources.read import index, read_members
from pipelines.storage.place import BOOKKEEPING, Place, local_temporary, open_place, shown

PUBLISHED = f"{BOOKKEEPING}/published"
UNREADABLE, UNSAFE = "unreadable", "unsafe_name"


@dataclass(frozen=True)
class Published:
    """A source's marker: what was published, of what, and how many of each."""

    source_id: str
    path: str  # under DST; '' for the top folder
    version: str  # of the source
    fingerprint: str
    sample: int | None
    generation: int  # of the latest retry in it
    size: int  # bytes of the mirror
    files: int  # of the mirror; 1 for an archive
    withheld: int  # links, devices and unsafe names of a folder, which are not followed
    others: int
    cleaned: int
    copied: int
    quarantined: int
    megapixels: float
    moire_before: float  # sums over the cleaned
    moire_after: float

    @property
    def images(self) -> int:
        return self.cleaned + self.copied + self.quarantined


@dataclass(frozen=True)
class Proof:
    """What was counted: rows of the reports, and files of the mirrors."""

    cleaned: int
    copied: int
    quarantined: int
    files: int

    @property
    def images(self) -> int:
        return self.cleaned + self.copied + self.quarantined


def read_marker(place: Place, source_id: str) -> Published | None:
    """The marker of a source, whether or not it still fits; None if there is none."""
    path = f"{PUBLISHED}/{source_id}.json"
    return Published(**json.loads(place.read(path))) if place.exists(path) else None


def is_published(place: Place, source: Source, fingerprint: str, sample: int | None) -> Published | None:
    """The marker of a source, if it is of this very version and configuration and the mirror is still there."""
    marker = read_marker(place, source.id)
    if marker is None:
        return None
    if (marker.version, marker.fingerprint, marker.sample) != (source.version, fingerprint, sample):
        return None
    if source.kind != "folder":
        mirror = place.stat(source.path)
        return marker if mirror is not None and mirror.size == marker.size else None
    beside = (entry for entry in place.list(source.path, recursive=False) if entry.kind == "file")
    there = sum(1 for entry in beside if archive_kind(entry.name) is None)
    return marker if there >= marker.files else None


def publish_source(
    planned: SourcePlan, units: Sequence[Unit], dst: str, fingerprint: str, sample: int | None = None
) -> Published:
    """Publish a source whose units, all of them given here, are committed.

    Raises SourceChangedError if it is no longer what was planned, DemoireError if a unit is not committed.
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


def publish_retry(planned: SourcePlan, units: Sequence[Unit], dst: str, fingerprint: str, generation: int) -> Published:
    """Take what a retry made of some images into a source's mirror and report; all else in them stays.

    It is the mirror that is written anew, not the source: this needs nothing of what `gc` removes.
    """
    source, place, ledger = planned.source, open_place(dst), Ledger(dst)
    before = read_marker(place, source.id)
    if before is None:
        raise DemoireError(f"{shown(source.uri)} is not published yet: run `demoire clean` before a retry.")
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


def prove(plan: Plan) -> Proof:
    """Count what is under DST against the plan: the rows of each report, and whether each mirror is there.

    Raises ProofError naming the sources that differ.
    """
    place = open_place(plan.dst)
    total: Counter[str] = Counter()
    wrong = []
    for planned in plan.sources:
        marker = is_published(place, planned.source, plan.fingerprint, plan.sample)
        if marker is None:
            wrong.append(f"{source_name(planned.source)} (its mirror is not there)")
            continue
        counts = Counter(read_report(place, planned.source.id, ["status"]).column("status").to_pylist())
        if counts.total() != planned.rows or counts != Counter(
            cleaned=marker.cleaned, copied=marker.copied, quarantined=marker.quarantined
        ):
            wrong.append(f"{source_name(planned.source)} (planned {planned.rows}, found {counts.total()})")
        total += counts + Counter(files=marker.files)
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ProofError(
            f"The count does not come out for {', '.join(map(shown, wrong[:5]))}{more}: run the same command again."
        )
    return Proof(total["cleaned"], total["copied"], total["quarantined"], total["files"])


def read_report(place: Place, source_id: str, columns: list[str] | None = None) -> pa.Table:
    """A source's report table."""
    with place.open(f"{REPORT}/{source_id}.parquet") as file:
        return pq.read_table(file, columns=columns)


def _commits(ledger: Ledger, unit: Unit, fingerprint: str) -> list[Commit]:
    """The commits that make up a planned unit: its own, or those of its halves."""
    if ledger.has(unit.id):
        return [ledger.read(unit.id)]
    if len(unit.members) == 1:
        raise DemoireError(f"{shown(unit.source.uri)} is not wholly cleaned yet: run the same command again.")
    return [commit for half in halves(unit, fingerprint) for commit in _commits(ledger, half, fingerprint)]


def _tables(ledger: Ledger, done: Iterable[tuple[Unit, Commit]]) -> Iterator[pa.Table]:
    """The rows of each commit, under the unit that was planned: that it was halved on the way is nobody's matter."""
    place = REPORT_SCHEMA.get_field_index("unit_id")
    for unit, commit in done:
        rows = ledger.rows(commit)
        yield rows.set_column(place, REPORT_SCHEMA.field(place), pa.array([unit.id] * rows.num_rows))


def _uncleaned(planned: SourcePlan, fingerprint: str) -> Iterator[pa.Table]:
    """The rows of what no unit holds: unsafe members, and an archive that could not be opened."""
    members = []
    if planned.unsafe:
        members = [(member, UNSAFE) for member in index(planned.source) if member.kind == "unsafe"]
    if planned.damaged is not None:
        size = planned.source.size
        members = [(Member(-1, "", "unsafe", -1, size, size, "stored", "", 0.0), UNREADABLE)]
    if members:
        origin = Origin(make_unit(planned.source, [], fingerprint), 0, fingerprint, "")
        yield rows_to_table([quarantined(member, reason, origin).row for member, reason in members])


@dataclass
class _Report:
    """The report table of a source, and what is counted while it is written."""

    place: Place
    source: Source
    refused: AbstractSet[int]  # positions whose cleaned payload has not found its way into the mirror
    statuses: Counter[str] = field(default_factory=Counter)
    megapixels: float = 0.0
    moire_before: float = 0.0
    moire_after: float = 0.0
    most_changed: list[tuple[float, int]] = field(default_factory=list)  # (PSNR, position), at most SHOWN

    def write(self, tables: Iterable[pa.Table]) -> None:
        """Write these rows, a table in memory at a time."""
        with local_temporary() as local:
            with pq.ParquetWriter(local, REPORT_SCHEMA, compression="zstd") as writer:
                for table in tables:
                    table = self._without_refused(table)
                    self._count(table)
                    writer.write_table(table)
            self.place.put_file(local, f"{REPORT}/{self.source.id}.parquet")

    def replace(self, rows: pa.Table) -> None:
        """Write the table that is there again, with these rows in the places of those of the same images."""
        before = read_report(self.place, self.source.id).cast(REPORT_SCHEMA)
        fresh = pc.index_in(before["image_id"], rows["image_id"]).to_pylist()
        both = pa.concat_tables([before, rows])
        places = [i if j is None else before.num_rows + j for i, j in enumerate(fresh)]
        self.write([both.take(places).combine_chunks()])

    def _without_refused(self, table: pa.Table) -> pa.Table:
        ids = [f"{self.source.id}/{position}" for position in self.refused]
        hit = pc.is_in(table["image_id"], pa.array(ids, pa.string()))
        if not pc.any(hit).as_py():
            return table
        null = pa.scalar(None)
        changes = {"status": "quarantined", "reason": "encode_failed", "tiles_restored": 0}
        changes |= {name: null for name in ("moire_after", "psnr_vs_input", "ssim_vs_input", "colour_shift")}
        changes |= {"bytes_out": table["bytes_in"], "sha256_out": table["sha256_in"]}
        for name, value in changes.items():
            place = table.schema.get_field_index(name)
            column = pc.if_else(hit, value, table[name]).cast(table.schema.field(name).type)
            table = table.set_column(place, table.schema.field(name), column)
        return table

    def _count(self, table: pa.Table) -> None:
        sides = (pc.cast(table[name], pa.float64(), safe=False) for name in ("width", "height"))
        pixels = pc.multiply(*sides)
        cleaned = table.filter(pc.equal(table["status"], "cleaned"))
        self.statuses.update(table["status"].to_pylist())
        self.megapixels += (pc.sum(pixels).as_py() or 0.0) / 1e6
        self.moire_before += pc.sum(cleaned["moire_before"]).as_py() or 0.0
        self.moire_after += pc.sum(cleaned["moire_after"]).as_py() or 0.0
        changes = [
            (psnr, int(name.rpartition("/")[2]))
            for psnr, name in zip(cleaned["psnr_vs_input"].to_pylist(), cleaned["image_id"].to_pylist(), strict=True)
            if psnr is not None and np.isfinite(psnr)
        ]
        self.most_changed = heapq.nsmallest(SHOWN, [*self.most_changed, *changes])


def _previews(
    source: Source, chosen: Sequence[tuple[float, int]], members: Mapping[int, Member], cleaned: CleanedPayloads
) -> list[Preview]:
    """Before and after of the chosen images (PSNR, position) that are at hand."""
    psnr = {position: value for value, position in chosen if position in cleaned.positions}
    found = []
    for member, before in read_members(source, [members[position] for position in sorted(psnr)]) if psnr else ():
        try:
            pair = preview_pair(before, cleaned(member.position)) if isinstance(before, bytes) else None
        except (ImageError, ValueError):
            continue
        if pair is not None:
            found.append(Preview(source_name(source), as_text(member.name), 0, psnr[member.position], *pair))
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


def _marker(planned: SourcePlan, mirror: Mirror, report: _Report, fingerprint: str, sample: int | None) -> Published:
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
