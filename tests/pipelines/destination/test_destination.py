"""Everything under DST behind one object: small on its way to workers, and clear about objects of
other versions.
"""

import json
import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demoire.cleaning.config import CleanerConfig
from demoire.errors import UsageError
from pipelines.destination.destination import Destination
from pipelines.destination.manifest import NoPlanError
from pipelines.destination.plans import PlanScope, SourcePlan
from pipelines.destination.published import Published
from pipelines.job import CleanJob, RunSummary
from pipelines.plan.units import make_unit
from pipelines.records import Member, Source

SOURCE = Source("/box/a.tar", "a.tar", "tar", "1-2", 3)
MEMBER = Member(0, "a.jpg", "image", 512, 100, 100, "stored", "", 1.0)
UNIT = make_unit(SOURCE, [MEMBER], "config")
OTHER_VERSION = "is damaged, or another version of demoire wrote it: go on with that version, or"


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    return Destination.at(str(tmp_path / "out"))


def published() -> Published:
    return Published(
        source_id=SOURCE.id,
        path="a.tar",
        version="1-2",
        fingerprint="config",
        sample=None,
        generation=0,
        size=10,
        files=1,
        withheld=0,
        others=0,
        cleaned=1,
        copied=0,
        quarantined=0,
        megapixels=1.0,
        moire_before=0.9,
        moire_after=0.1,
    )


def summary(run_id: str) -> RunSummary:
    return RunSummary(run_id, 1, 1, 0, 0, 0, 1.0, 2.0, 0.5, 0.9, 0.1, "index.html")


def test_it_travels_to_a_worker_as_its_address_whatever_was_loaded(
    destination: Destination,
) -> None:
    plan = SourcePlan(SOURCE, 1, 0, 0, 1, 1.0, 100, 1)
    many = [(plan, [UNIT])] * 1000
    written = destination.manifests.write(PlanScope("/box", "config"), many)
    pickled = pickle.dumps(destination)
    assert len(pickled) < 500
    assert pickle.loads(pickled).manifests.load(written.id) == written


def test_a_plan_is_read_from_storage_once(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = SourcePlan(SOURCE, 1, 0, 0, 1, 1.0, 100, 1)
    plan_id = destination.manifests.write(PlanScope("/box", "config"), [(planned, [UNIT])]).id
    again = Destination(destination.place)
    first = again.manifests.load(plan_id)
    for path in Path(destination.place.uri).rglob("*.parquet"):
        path.unlink()
    assert again.manifests.load(plan_id) is first


def test_that_nothing_was_planned_is_an_answer_and_not_a_failing_store(
    destination: Destination,
) -> None:
    assert destination.manifests.find_latest() is None
    with pytest.raises(NoPlanError, match="does not exist: check the path"):
        destination.manifests.latest()
    Path(destination.place.uri).mkdir()
    with pytest.raises(NoPlanError, match="holds no plan: run"):
        destination.manifests.latest()


def test_the_job_of_the_last_run_is_found_by_its_note(destination: Destination) -> None:
    assert destination.notes.last_job() is None
    odd_name = b"/caf\xe9".decode(errors="surrogateescape")
    job = CleanJob(odd_name, "/out", CleanerConfig(threshold=0.25), workers=3)
    destination.notes.write(CleanJob("/box", "/out"), "plan", summary("20260101"))
    destination.notes.write(job, "plan", summary("20260102"))
    assert destination.notes.last_job() == job


# Objects that another version wrote


def rewrite(destination: Destination, path: str, **changes: object) -> None:
    """Change some keys of a JSON object; None takes one out."""
    facts = json.loads(destination.place.read(path)) | changes
    kept = {name: value for name, value in facts.items() if value is not None}
    destination.place.write(path, json.dumps(kept).encode())


def test_a_commit_of_another_version_is_told_in_one_sentence(destination: Destination) -> None:
    ledger = destination.ledger
    ledger.commit(UNIT, ledger.start(UNIT), [])
    path = f"_demoire/commits/{UNIT.id}.json"
    rewrite(destination, path, checksum="crc32")
    with pytest.raises(UsageError, match=f"{UNIT.id}.json {OTHER_VERSION}") as told:
        ledger.read(UNIT.id)
    assert "\n" not in str(told.value)
    rewrite(destination, path, checksum=None, images=None)
    with pytest.raises(UsageError, match=OTHER_VERSION):
        ledger.read(UNIT.id)
    destination.place.write(path, b"{")
    with pytest.raises(UsageError, match=OTHER_VERSION):
        ledger.read(UNIT.id)


def test_an_attempt_of_another_version_is_told_in_one_sentence(destination: Destination) -> None:
    for _ in range(2):
        destination.ledger.start(UNIT, "wave")
    rewrite(destination, f"_demoire/attempts/{UNIT.id}.2.json", wave=7)
    with pytest.raises(UsageError, match=f"{UNIT.id}.2.json {OTHER_VERSION}"):
        destination.ledger.deadly(set())


def test_a_published_marker_of_another_version_is_told_in_one_sentence(
    destination: Destination,
) -> None:
    destination.markers.write(published())
    assert destination.markers.read(SOURCE.id) == published()
    rewrite(destination, f"_demoire/published/{SOURCE.id}.json", digest="abc")
    with pytest.raises(UsageError, match=f"{SOURCE.id}.json {OTHER_VERSION}"):
        destination.markers.read(SOURCE.id)


def test_a_note_of_another_version_is_told_in_one_sentence(destination: Destination) -> None:
    destination.notes.write(CleanJob("/box", "/out"), "plan", summary("20260101"))
    path = "_demoire/runs/20260101.json"
    job = CleanJob("/box", "/out").to_dict()
    job["config"]["sharpen"] = True
    rewrite(destination, path, job=job)
    with pytest.raises(UsageError, match=f"20260101.json {OTHER_VERSION}"):
        destination.notes.last_job()


def test_a_plan_of_another_version_is_told_in_one_sentence(destination: Destination) -> None:
    planned = SourcePlan(SOURCE, 1, 0, 0, 1, 1.0, 100, 1)
    plan = destination.manifests.write(PlanScope("/box", "config"), [(planned, [UNIT])])
    (path,) = Path(destination.place.uri).rglob("*.sources.parquet")
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"demoire.plan"]) | {"order": "by size"}
    pq.write_table(table.replace_schema_metadata({"demoire.plan": json.dumps(facts)}), path)
    with pytest.raises(UsageError, match=f"{path.name} {OTHER_VERSION}"):
        Destination(destination.place).manifests.load(plan.id)


def test_a_plan_of_the_version_before_lacks_the_unsafe_members_and_says_so(
    destination: Destination,
) -> None:
    planned = SourcePlan(SOURCE, 1, 1, 0, 1, 1.0, 100, 1, unsafe_members=(MEMBER,), objects=1)
    plan = destination.manifests.write(PlanScope("/box", "config"), [(planned, [UNIT])])
    (path,) = Path(destination.place.uri).rglob("*.sources.parquet")
    pq.write_table(
        pq.read_table(path).drop_columns(["unsafe_members", "withheld", "objects"]), path
    )
    (loaded,) = Destination(destination.place).manifests.load(plan.id).sources
    assert (loaded.unsafe, loaded.rows, loaded.is_complete) == (1, 2, False)
