"""Publishing: reports that say what is in the mirrors, once and for all; and the proof that nothing
is missing.
"""

import io
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import DemoireError, ImageError, ProofError
from pipelines.clean.actor import Fetched, clean_unit
from pipelines.clean.ledger import Ledger
from pipelines.plan.manifest import Plan, SourcePlan, load_plan, read_units
from pipelines.plan.plan import make_plan, make_retry_plan
from pipelines.plan.units import halves
from pipelines.publish.marker import is_published, read_marker
from pipelines.publish.proof import Proof, prove
from pipelines.publish.publish import publish_retry, publish_source
from pipelines.publish.table import read_report
from pipelines.records import REPORT_SCHEMA, Unit
from pipelines.report.previews import PREVIEWS
from pipelines.rows import Origin
from pipelines.sources.read import read_members
from pipelines.storage.open import open_place
from tests.pipelines.conftest import draw, half_moire, read_tar, tree, write_tar, write_zip
from tests.pipelines.publish.test_mirror import tar_in_base_256

TEXT = b"no picture, whatever the name says"


@pytest.fixture(scope="module")
def cleaner(tiny_config: CleanerConfig) -> Cleaner:
    return Cleaner(tiny_config)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """One of each: a tar with unsafe names and a text called .jpg, a tar.gz, a zip, loose files, a
    tar cut short.
    """
    box = tmp_path / "box"
    (box / "loose").mkdir(parents=True)
    write_tar(
        box / "a.tar",
        {**half_moire(4), "../evil.jpg": b"evil", "text.jpg": TEXT, "notes.txt": b"notes"},
    )
    write_tar(box / "b.tar.gz", half_moire(2, 10), "w:gz")
    write_zip(box / "c.zip", half_moire(2, 20))
    (box / "cut.tar").write_bytes((box / "a.tar").read_bytes()[:3000])
    (box / "loose" / "one.jpg").write_bytes(draw(True, 30))
    (box / "loose" / "link.jpg").symlink_to(tmp_path)
    return box


def commit(unit: Unit, plan: Plan, cleaner: Cleaner) -> None:
    """Clean a unit and commit it, as an actor does."""
    ledger = Ledger(plan.dst)
    read = [payload for _, payload in read_members(unit.source, unit.members)]
    payloads = tuple(None if isinstance(data, ImageError) else data for data in read)
    reasons = tuple(data.reason if isinstance(data, ImageError) else None for data in read)
    attempt = ledger.start(unit)
    origin = Origin(unit, attempt, plan.fingerprint, "run", cleaner.weights_digest, "cpu")
    ledger.commit(unit, attempt, clean_unit(cleaner, Fetched(unit, payloads, reasons, 0.0), origin))


def cleaned_plan(src: Path, dst: Path, cleaner: Cleaner) -> Plan:
    """A plan whose units are all committed."""
    plan = make_plan(str(src), str(dst), cleaner.config.fingerprint())
    for unit in read_units(plan.dst, plan.id):
        commit(unit, plan, cleaner)
    return plan


def units_of(plan: Plan, planned: SourcePlan) -> list[Unit]:
    return [unit for unit in read_units(plan.dst, plan.id) if unit.source.id == planned.source.id]


def publish_all(plan: Plan) -> None:
    for planned in plan.sources:
        publish_source(planned, units_of(plan, planned), plan.dst, plan.fingerprint)


def rows_of(plan: Plan, path: str) -> dict[str, dict[str, Any]]:
    """The report of a source by member."""
    (source_id,) = (planned.source.id for planned in plan.sources if planned.source.path == path)
    return {row["member"]: row for row in read_report(open_place(plan.dst), source_id).to_pylist()}


@pytest.fixture
def published(box: Path, tmp_path: Path, cleaner: Cleaner) -> Plan:
    plan = cleaned_plan(box, tmp_path / "out", cleaner)
    publish_all(plan)
    return plan


def test_every_source_has_its_mirror_its_rows_and_its_marker(
    published: Plan, box: Path, cleaner: Cleaner
) -> None:
    dst = Path(published.dst)
    expected = {name: cleaner.clean(data).data for name, data in half_moire(4).items()}
    rest = {"../evil.jpg": b"evil", "text.jpg": TEXT, "notes.txt": b"notes"}
    assert read_tar(dst / "a.tar") == expected | rest
    statuses = {
        name: (row["status"], row["reason"]) for name, row in rows_of(published, "a.tar").items()
    }
    assert statuses == {
        "img_000.jpg": ("cleaned", None),
        "img_001.jpg": ("copied", None),
        "img_002.jpg": ("cleaned", None),
        "img_003.jpg": ("copied", None),
        "text.jpg": ("quarantined", "not_an_image"),
        "../evil.jpg": ("quarantined", "unsafe_name"),
    }
    assert prove(published) == Proof(cleaned=5, copied=4, quarantined=4, files=5)
    assert tree(dst).keys() == {"a.tar", "b.tar.gz", "c.zip", "cut.tar", "loose/one.jpg"}


def test_a_damaged_archive_is_copied_as_it_is_and_has_one_row(published: Plan, box: Path) -> None:
    assert (Path(published.dst) / "cut.tar").read_bytes() == (box / "cut.tar").read_bytes()
    (row,) = rows_of(published, "cut.tar").values()
    assert (row["status"], row["reason"], row["member"]) == ("quarantined", "unreadable", "")
    assert row["bytes_in"] == row["bytes_out"] == 3000


def test_a_link_in_a_folder_has_a_row_and_no_file(published: Plan) -> None:
    row = rows_of(published, "loose")["link.jpg"]
    assert (row["status"], row["reason"]) == ("quarantined", "unsafe_name")
    (planned,) = (planned for planned in published.sources if planned.source.path == "loose")
    marker = read_marker(open_place(published.dst), planned.source.id)
    assert marker is not None and (marker.files, marker.withheld) == (1, 1)


def test_reports_are_of_the_schema(published: Plan) -> None:
    for path in (Path(published.dst) / "_demoire" / "report").glob("*.parquet"):
        assert pq.read_schema(path).equals(REPORT_SCHEMA, check_metadata=True)


def test_publishing_twice_gives_the_same(published: Plan) -> None:
    def state() -> tuple[dict[str, bytes], list[dict[str, Any]]]:
        rows = [
            row
            for planned in published.sources
            for row in rows_of(published, planned.source.path).values()
        ]
        for row in rows:
            # these are finished by publishing them
            if row["reason"] in ("unsafe_name", "unreadable"):
                del row["finished_at"]
        written = tree(Path(published.dst), bookkeeping=True)
        return {
            name: data
            for name, data in written.items()
            if "/report/" not in name or "/previews/" in name
        }, rows

    before = state()
    publish_all(published)
    assert state() == before


def test_a_source_is_published_as_long_as_marker_mirror_version_and_configuration_fit(
    published: Plan,
) -> None:
    place = open_place(published.dst)
    (planned,) = (planned for planned in published.sources if planned.source.path == "a.tar")
    source, fingerprint = planned.source, published.fingerprint
    assert is_published(place, source, fingerprint, None) is not None
    assert is_published(place, replace(source, version="another"), fingerprint, None) is None
    assert is_published(place, source, "another", None) is None
    assert is_published(place, source, fingerprint, 5) is None
    place.write("a.tar", b"cut")
    assert is_published(place, source, fingerprint, None) is None
    place.delete("a.tar")
    assert is_published(place, source, fingerprint, None) is None


def test_a_loose_file_that_is_lost_is_noticed_although_archives_lie_beside_it(
    tmp_path: Path, cleaner: Cleaner
) -> None:
    (tmp_path / "box").mkdir()
    write_tar(tmp_path / "box" / "a.tar", half_moire(1))
    (tmp_path / "box" / "loose.jpg").write_bytes(draw(False, 1))
    plan = cleaned_plan(tmp_path / "box", tmp_path / "out", cleaner)
    publish_all(plan)
    assert prove(plan).images == 2
    (tmp_path / "out" / "loose.jpg").unlink()
    with pytest.raises(ProofError, match="its mirror is not there"):
        prove(plan)


def test_a_unit_that_is_not_committed_keeps_its_source_from_being_published(
    box: Path, tmp_path: Path
) -> None:
    plan = make_plan(str(box), str(tmp_path / "out"), "config")
    (planned,) = (planned for planned in plan.sources if planned.source.path == "c.zip")
    with pytest.raises(DemoireError, match="c.zip is not wholly cleaned yet"):
        publish_source(planned, units_of(plan, planned), plan.dst, plan.fingerprint)
    assert tree(tmp_path / "out") == {}


def test_that_a_unit_was_halved_is_not_seen_in_what_is_published(
    box: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    whole = cleaned_plan(box / "a.tar", tmp_path / "whole", cleaner)
    halved = make_plan(str(box / "a.tar"), str(tmp_path / "halved"), whole.fingerprint)
    (unit,) = read_units(halved.dst, halved.id)
    first, second = halves(unit, halved.fingerprint)
    for part in (first, *halves(second, halved.fingerprint)):
        commit(part, halved, cleaner)
    for plan in (whole, halved):
        publish_all(plan)
    assert tree(tmp_path / "halved") == tree(tmp_path / "whole")
    columns = ("member", "status", "reason", "sha256_out", "unit_id", "tiles_restored")
    facts = [
        [[row[c] for c in columns] for row in rows_of(plan, "a.tar").values()]
        for plan in (whole, halved)
    ]
    assert facts[0] == facts[1]


def test_what_cannot_be_put_back_is_quarantined_as_it_was(tmp_path: Path, cleaner: Cleaner) -> None:
    pictures = {"odd.jpg": draw(True, 1), "even.jpg": draw(True, 2)}
    (tmp_path / "a.tar").write_bytes(tar_in_base_256(pictures, odd="odd.jpg"))
    plan = cleaned_plan(tmp_path / "a.tar", tmp_path / "out", cleaner)
    publish_all(plan)
    mirrored = read_tar(tmp_path / "out" / "a.tar")
    assert mirrored == {
        "odd.jpg": pictures["odd.jpg"],
        "even.jpg": cleaner.clean(pictures["even.jpg"]).data,
    }
    row = rows_of(plan, "a.tar")["odd.jpg"]
    assert (row["status"], row["reason"], row["tiles_restored"]) == (
        "quarantined",
        "encode_failed",
        0,
    )
    assert (row["bytes_out"], row["sha256_out"]) == (row["bytes_in"], row["sha256_in"])
    assert row["moire_before"] is not None
    assert [
        row[name] for name in ("moire_after", "psnr_vs_input", "ssim_vs_input", "colour_shift")
    ] == [None] * 4
    assert rows_of(plan, "a.tar")["even.jpg"]["status"] == "cleaned"
    assert prove(plan) == Proof(cleaned=1, copied=0, quarantined=1, files=1)


def test_the_most_changed_images_have_previews(published: Plan) -> None:
    place = open_place(published.dst)
    (planned,) = (planned for planned in published.sources if planned.source.path == "a.tar")
    with place.open(f"{PREVIEWS}/{planned.source.id}.parquet") as file:
        previews = pq.read_table(file).to_pylist()
    rows = rows_of(published, "a.tar")
    assert {preview["member"]: preview["psnr_vs_input"] for preview in previews} == {
        name: row["psnr_vs_input"] for name, row in rows.items() if row["status"] == "cleaned"
    }


# The proof


@pytest.mark.parametrize("missing", ["a row", "a mirror", "a status", "a marker"])
def test_the_proof_fails_and_names_the_source_of_which_something_is_missing(
    published: Plan, missing: str
) -> None:
    (planned,) = (planned for planned in published.sources if planned.source.path == "c.zip")
    bookkeeping = Path(published.dst) / "_demoire"
    report = bookkeeping / "report" / f"{planned.source.id}.parquet"
    table = pq.read_table(report)
    if missing == "a row":
        pq.write_table(table.slice(1), report)
    elif missing == "a status":
        rows = [row | {"status": "copied"} for row in table.to_pylist()]
        pq.write_table(table.from_pylist(rows, table.schema), report)
    elif missing == "a mirror":
        (Path(published.dst) / "c.zip").unlink()
    else:
        (bookkeeping / "published" / f"{planned.source.id}.json").unlink()
    with pytest.raises(ProofError, match="does not come out for c.zip ") as told:
        prove(published)
    assert "a.tar" not in str(told.value)


# A retry


def test_a_retry_replaces_rows_and_previews_and_nothing_else(
    box: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    small = Cleaner(replace(tiny_config, max_megapixels=0.001))  # lets nothing in
    plan = cleaned_plan(box, tmp_path / "out", small)
    publish_all(plan)
    before = rows_of(plan, "a.tar")
    assert Counter(row["reason"] for row in before.values())["too_large"] == 4
    (source,) = (planned.source for planned in plan.sources if planned.source.path == "a.tar")
    cleaner = Cleaner(tiny_config)
    again = make_retry_plan(
        plan.dst, [(source.id, 0), (source.id, 1)], tiny_config.fingerprint(), 1
    )
    (unit,) = read_units(again.dst, again.id)
    commit(unit, again, cleaner)
    for _ in range(2):  # the second time as after a death
        marker = publish_retry(
            again.sources[0], [unit], again.dst, again.fingerprint, again.generation
        )
        assert (marker.cleaned, marker.copied, marker.quarantined, marker.generation) == (
            1,
            1,
            4,
            1,
        )
        after = rows_of(plan, "a.tar")
        assert list(after) == list(before)
        assert [name for name in after if after[name] != before[name]] == [
            "img_000.jpg",
            "img_001.jpg",
        ]
        mirrored = read_tar(tmp_path / "out" / "a.tar")
        assert mirrored == {
            **read_tar(box / "a.tar"),
            "img_000.jpg": cleaner.clean(draw(True, 0)).data,
        }
    assert prove(load_plan(plan.dst)).cleaned == 1


def test_a_retry_of_what_was_never_published_is_refused(
    box: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    plan = cleaned_plan(box / "a.tar", tmp_path / "out", cleaner)
    with pytest.raises(DemoireError, match="a.tar is not published yet"):
        publish_retry(
            plan.sources[0], units_of(plan, plan.sources[0]), plan.dst, plan.fingerprint, 1
        )


def test_names_that_are_no_text_are_published_as_they_are(tmp_path: Path, cleaner: Cleaner) -> None:
    buffer = io.BytesIO()
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(draw(True, 1))
        tar.addfile(info, io.BytesIO(draw(True, 1)))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    plan = cleaned_plan(tmp_path / "a.tar", tmp_path / "out", cleaner)
    publish_all(plan)
    with tarfile.open(tmp_path / "out" / "a.tar", errors="surrogateescape") as tar:
        assert tar.getnames() == [name]
    assert list(rows_of(plan, "a.tar")) == ["caf\\udce9.jpg"]
