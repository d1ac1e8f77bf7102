"""Plans: units that cover every image once, ids that tell what goes in, a manifest that comes back
as it was.
"""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from demoire.errors import UsageError
from pipelines.destination.destination import Destination
from pipelines.destination.manifest import NoPlanError
from pipelines.destination.plans import Plan, PlanScope, SourcePlan
from pipelines.estimate import estimate
from pipelines.plan.plan import make_plan, make_retry_plan
from pipelines.plan.units import UNIT_BYTES, UNIT_IMAGES, UNIT_MEGAPIXELS, make_unit, plan_members
from pipelines.records import Member, MemberKind, Source, Unit
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from tests.s3_server import s3_variables, serve_s3

SOURCE = Source("/box/a.tar", "a.tar", "tar", "1-2", 3)


def picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def write_tar(path: Path, content: Sequence[tuple[str, bytes]], mode: str = "w") -> None:
    with tarfile.open(path, mode, errors="surrogateescape") as tar:  # type: ignore[call-overload]
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A tar of 40 images and 10 texts, a tar.gz of 3, loose files, and a tar that is none."""
    box = tmp_path / "box"
    (box / "loose").mkdir(parents=True)
    many = [
        (f"{i:02}.jpg", picture(16 + i, 16)) if i % 5 else (f"{i:02}.xml", b"<x/>")
        for i in range(50)
    ]
    write_tar(box / "many.tar", [*many, ("../evil.jpg", b"x")])
    write_tar(
        box / "few.tar.gz", [(os.fsdecode(b"caf\xe9.jpg"), picture(30, 20)), *many[1:3]], "w:gz"
    )
    (box / "loose" / "one.jpg").write_bytes(picture(50, 50))
    (box / "loose" / "notes.txt").write_text("notes")
    (box / "broken.tar").write_bytes(b"nonsense" * 500)
    return box


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    return Destination.at(str(tmp_path / "out"))


def images_of(units: Sequence[Unit]) -> list[tuple[str, int]]:
    return [(unit.source.id, member.position) for unit in units for member in unit.members]


# Units


members_of_any_kind = st.lists(
    st.builds(
        Member,
        position=st.just(0),
        name=st.just("x.jpg"),
        kind=st.sampled_from(["image", "image", "image", "other", "unsafe"]),
        offset=st.just(0),
        length=st.just(0),
        size=st.integers(0, 2 * UNIT_BYTES) | st.integers(0, 1_000_000),
        compression=st.just("stored"),
        version=st.just(""),
        megapixels=st.floats(0, 2 * UNIT_MEGAPIXELS) | st.floats(0, 10),
    ),
    max_size=100,
).map(lambda members: [replace(member, position=i) for i, member in enumerate(members)])


@given(members_of_any_kind)
def test_units_hold_every_image_once_in_order_and_within_the_limits(members: list[Member]) -> None:
    units = plan_members(SOURCE, members, "config")
    assert [m for unit in units for m in unit.members] == [m for m in members if m.kind == "image"]
    assert len({unit.id for unit in units}) == len(units)
    for unit in units:
        assert 1 <= len(unit.members) <= UNIT_IMAGES
        if len(unit.members) > 1:
            assert sum(m.size for m in unit.members) <= UNIT_BYTES
            assert unit.megapixels <= UNIT_MEGAPIXELS * 1.000001


@given(members_of_any_kind)
def test_units_are_as_large_as_they_may_be(members: list[Member]) -> None:
    units = plan_members(SOURCE, members, "config")
    for unit, following in zip(units, units[1:], strict=False):
        both = [*unit.members, following.members[0]]
        assert (
            len(both) > UNIT_IMAGES
            or sum(m.size for m in both) > UNIT_BYTES
            or sum(m.megapixels for m in both) > UNIT_MEGAPIXELS * 0.999999
        )


def member(
    position: int = 0, name: str = "a.jpg", kind: MemberKind = "image", version: str = ""
) -> Member:
    return Member(position, name, kind, 512, 100, 100, "stored", version, 1.0)


def test_an_id_tells_everything_that_goes_in() -> None:
    variants = [
        make_unit(SOURCE, [member()], "config"),
        make_unit(SOURCE, [member()], "other config"),
        make_unit(SOURCE, [member()], "config", generation=1),
        make_unit(replace(SOURCE, uri="/box/b.tar"), [member()], "config"),
        make_unit(replace(SOURCE, version="9-9"), [member()], "config"),
        make_unit(SOURCE, [member(name="b.jpg")], "config"),
        make_unit(SOURCE, [replace(member(), offset=1024)], "config"),
        make_unit(SOURCE, [replace(member(), length=101)], "config"),
        make_unit(SOURCE, [member(), member(1)], "config"),
    ]
    assert len({unit.id for unit in variants}) == len(variants)
    assert make_unit(SOURCE, [member()], "config") == variants[0]
    # only an estimate
    assert make_unit(SOURCE, [replace(member(), megapixels=2)], "config").id == variants[0].id


def test_a_file_more_in_a_folder_does_not_make_the_others_new() -> None:
    folder = Source("/box/", "", "folder", "digest of one", 1)
    before = make_unit(folder, [member(version="v1")], "config")
    assert (
        make_unit(replace(folder, version="digest of two"), [member(version="v1")], "config").id
        == before.id
    )
    assert make_unit(folder, [member(version="v2")], "config").id != before.id


# The manifest


def test_a_plan_counts_what_is_there(box: Path, destination: Destination) -> None:
    seen: list[tuple[str, float, float]] = []

    def progress(what: str, done: float, total: float) -> None:
        seen.append((what, done, total))

    plan = make_plan(destination, PlanScope(str(box), "config"), progress)
    facts = {p.source.path: (p.images, p.unsafe, p.others, p.units, p.rows) for p in plan.sources}
    assert facts == {
        "broken.tar": (0, 0, 0, 0, 1),
        "few.tar.gz": (3, 0, 0, 1, 3),
        "loose": (1, 0, 1, 1, 1),
        "many.tar": (40, 1, 10, 2, 41),
    }
    assert (plan.images, plan.others, plan.units, plan.rows) == (44, 11, 4, 46)
    (broken,) = (p for p in plan.sources if p.damaged)
    assert broken.source.path == "broken.tar" and "copied as it is" in (broken.damaged or "")
    assert seen == [("plan", done, 4) for done in (1, 2, 3, 4)]
    assert plan.megapixels == pytest.approx(
        sum((16 + i) * 16 for i in range(50) if i % 5) / 1e6
        + (600 + 17 * 16 + 18 * 16 + 2500) / 1e6,
        rel=0.05,
    )


def test_a_manifest_comes_back_as_it_was(box: Path, destination: Destination) -> None:
    plan = make_plan(destination, PlanScope(str(box), "config"))
    again = Destination(destination.place)
    assert again.manifests.latest() == again.manifests.load(plan.id) == plan
    units = list(destination.manifests.units(plan))
    expected = [
        unit
        for p in plan.sources
        if not p.damaged
        for unit in plan_members(p.source, index(p.source).members, "config")
    ]
    assert units == expected
    assert os.fsdecode(b"caf\xe9.jpg") in [m.name for unit in units for m in unit.members]
    for unit in units:
        for _, payload in read_members(unit.source, unit.members):
            assert isinstance(payload, bytes)
            Image.open(io.BytesIO(payload)).load()


def test_planning_twice_writes_the_same(box: Path, destination: Destination) -> None:
    first = make_plan(destination, PlanScope(str(box), "config"))
    files = {
        path: path.read_bytes() for path in Path(destination.place.uri).rglob("*") if path.is_file()
    }
    assert make_plan(destination, PlanScope(str(box), "config")) == first
    assert {
        path: path.read_bytes() for path in Path(destination.place.uri).rglob("*") if path.is_file()
    } == files
    other = make_plan(destination, PlanScope(str(box), "other config"))
    assert other.id != first.id
    assert not {u.id for u in destination.manifests.units(first)} & {
        u.id for u in destination.manifests.units(other)
    }


def test_a_plan_is_named_by_what_is_in_it_and_nothing_else(tmp_path: Path) -> None:
    planned = SourcePlan(SOURCE, 1, 0, 0, 1, 1.0, 100, 1)
    unit = make_unit(SOURCE, [member()], "config")

    def plan_id(scope: PlanScope, source_plan: SourcePlan, unit: Unit, folder: str) -> str:
        destination = Destination.at(str(tmp_path / folder))
        return destination.manifests.write(scope, [(source_plan, [unit])]).id

    scope = PlanScope("/box", "config")
    ids = [
        plan_id(scope, planned, unit, "here"),
        plan_id(replace(scope, src="/crate"), planned, unit, "here"),
        plan_id(replace(scope, fingerprint="another"), planned, unit, "here"),
        plan_id(replace(scope, sample=3), planned, unit, "here"),
        plan_id(replace(scope, generation=1), planned, unit, "here"),
        plan_id(scope, replace(planned, source=replace(SOURCE, version="3-4")), unit, "here"),
        plan_id(scope, replace(planned, unsafe=1), unit, "here"),
        plan_id(scope, planned, make_unit(SOURCE, [member(1)], "config"), "here"),
    ]
    assert len(set(ids)) == len(ids)
    assert plan_id(scope, planned, unit, "there") == ids[0] == "f639ad7412a14e93"


def test_a_plan_holds_the_unsafe_members_for_their_rows(
    box: Path, destination: Destination
) -> None:
    make_plan(destination, PlanScope(str(box), "config"))
    plan = Destination(destination.place).manifests.latest()
    (many,) = (planned for planned in plan.sources if planned.source.path == "many.tar")
    assert [unsafe.name for unsafe in many.unsafe_members] == ["../evil.jpg"]
    assert many.is_complete


def test_a_changed_source_has_new_units_and_the_others_keep_theirs(
    box: Path, destination: Destination
) -> None:
    first = make_plan(destination, PlanScope(str(box), "config"))
    before = {u.id: u.source.path for u in destination.manifests.units(first)}
    write_tar(box / "many.tar", [("new.jpg", picture(20, 20))])
    second = make_plan(destination, PlanScope(str(box), "config"))
    after = {u.id: u.source.path for u in destination.manifests.units(second)}
    assert second.id != first.id
    assert {path for unit, path in after.items() if unit not in before} == {"many.tar"}
    assert {path for unit, path in before.items() if unit in after} == {"few.tar.gz", "loose"}


def test_many_units_are_read_in_order(tmp_path: Path, destination: Destination) -> None:
    box = tmp_path / "box"
    box.mkdir()
    for number in range(90):
        write_tar(box / f"{number:03}.tar", [("a.jpg", picture(8, 8))])
    plan = make_plan(destination, PlanScope(str(box), "config"))
    assert [unit.source.path for unit in destination.manifests.units(plan)] == [
        f"{number:03}.tar" for number in range(90)
    ]


def test_a_collection_without_images_is_planned_all_the_same(
    tmp_path: Path, destination: Destination
) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "notes.txt").write_text("notes")
    plan = make_plan(destination, PlanScope(str(tmp_path / "box"), "config"))
    assert (plan.images, plan.others, list(destination.manifests.units(plan))) == (0, 1, [])


def test_no_plan_and_no_source_are_told(tmp_path: Path, destination: Destination) -> None:
    with pytest.raises(NoPlanError, match="does not exist"):
        destination.manifests.latest()
    with pytest.raises(UsageError, match="nothing-here"):
        make_plan(destination, PlanScope(str(tmp_path / "nothing-here"), "config"))


def test_a_sample_is_the_same_images_each_time_and_of_the_whole(
    box: Path, destination: Destination
) -> None:
    whole = make_plan(destination, PlanScope(str(box), "config"))
    sample = make_plan(destination, PlanScope(str(box), "config", sample=10))
    assert sample.images == 10 and sample.sample == 10 and sample.id != whole.id
    chosen = images_of(list(destination.manifests.units(sample)))
    assert len(set(chosen)) == 10 and set(chosen) < set(
        images_of(list(destination.manifests.units(whole)))
    )
    again = make_plan(destination, PlanScope(str(box), "config", sample=10))
    assert images_of(list(destination.manifests.units(again))) == chosen
    assert chosen != images_of(list(destination.manifests.units(whole)))[:10]
    assert make_plan(destination, PlanScope(str(box), "config", sample=1000)).images == whole.images


def test_a_retry_plans_only_what_is_asked_for_under_new_ids(
    box: Path, destination: Destination
) -> None:
    plan = make_plan(destination, PlanScope(str(box), "config"))
    source = next(p.source for p in plan.sources if p.source.path == "many.tar")
    retry = make_retry_plan(
        destination, [(source.id, 3), (source.id, 49), ("no such source", 1)], "config", 1
    )
    (unit,) = destination.manifests.units(retry)
    assert (unit.generation, [m.name for m in unit.members]) == (1, ["03.jpg", "49.jpg"])
    assert unit.id not in {u.id for u in destination.manifests.units(plan)}
    assert destination.manifests.latest().id == plan.id and retry.images == 2


def test_an_estimate_adds_up(box: Path, destination: Destination) -> None:
    plan = make_plan(destination, PlanScope(str(box), "config"))
    cost = estimate(plan, destination.manifests.units(plan), mps=2.0)
    # 44 to be cleaned, and two that go into quarantine unread: ../evil.jpg and broken.tar.
    assert (cost.images, cost.units, cost.sources) == (46, 4, 4)
    assert cost.hours == pytest.approx(plan.megapixels / 2 / 3600)
    size = sum(path.stat().st_size for path in box.rglob("*") if path.is_file())
    assert cost.bytes_read == size + plan.bytes


def test_a_plan_of_a_bucket_is_that_of_the_folder_behind_it(
    box: Path, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_plan(destination, PlanScope(str(box / "many.tar"), "config"))
    with serve_s3(box.parent, "a-key", "a-secret") as endpoint:
        for name, value in s3_variables(endpoint, "a-key", "a-secret").items():
            monkeypatch.setenv(name, value)
        bucket = Destination.at("s3://out/x")
        there = make_plan(bucket, PlanScope("s3://box/many.tar", "config"))
        members = [unit.members for unit in bucket.manifests.units(there)]
        assert members == [unit.members for unit in destination.manifests.units(here)]
        assert there.sources[0].images == 40


def test_the_manifest_holds_no_secret(
    box: Path, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", json.dumps({"secret": "planted-secret"}))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    make_plan(destination, PlanScope(str(box), "config"))
    assert not [
        p
        for p in Path(destination.place.uri).rglob("*")
        if p.is_file() and b"planted-secret" in p.read_bytes()
    ]


def test_a_large_photograph_is_measured_by_its_first_bytes(
    tmp_path: Path, destination: Destination
) -> None:
    data = picture(1200, 900)
    assert len(data) > 100_000
    (tmp_path / "t.tgz").write_bytes(b"")
    write_tar(tmp_path / "t.tgz", [("a.jpg", data)], "w:gz")
    write_tar(tmp_path / "t.tar", [("a.jpg", data)])
    assert gzip.decompress((tmp_path / "t.tgz").read_bytes())[:5] == b"a.jpg"
    assert [index(source).members[0].megapixels for source in discover(str(tmp_path))] == [
        1.08,
        1.08,
    ]


def test_a_plan_travels_between_processes(box: Path, destination: Destination) -> None:
    import pickle

    plan = make_plan(destination, PlanScope(str(box), "config"))
    copy: Plan = pickle.loads(pickle.dumps(plan))
    assert copy == plan
