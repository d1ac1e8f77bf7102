"""Ids of sources and units: finished work is found by them, so they never change by accident."""

from dataclasses import fields, replace
from typing import Any

import pytest

from pipelines.plan.units import make_unit
from pipelines.records import FileInArchive, Member, Source
from tests.golden.pinned import assert_pinned

FINGERPRINT = "f" * 64
TAR = Source("s3://archive/1904/box.tar", "1904/box.tar", "tar", '"etag-1"', 40_960)
FOLDER = Source("/archive/loose", "loose", "folder", "a digest of its files", 9_000)
FIRST = Member(0, "001.jpg", "image", 512, 1_000, 1_000, "stored", "", 1.5)
SECOND = Member(2, "scans/caf\udce9.png", "image", 4_096, 700, 2_000, "deflate", "", 0.25)
LOOSE = Member(0, "one.tif", "image", 0, 9_000, 9_000, "stored", "9000-1", 3.0)

SOURCES = {
    "tar": TAR,
    "tar.gz": Source("s3://archive/box.tar.gz", "box.tar.gz", "tar.gz", "1", 1),
    "zip": Source("/archive/box.zip", "box.zip", "zip", "1", 1),
    "folder": FOLDER,
    "a name that is not UTF-8": Source("/archive/caf\udce9.tar", "caf\udce9.tar", "tar", "1", 1),
}

# What another value of a field does to the id of the unit of FIRST alone.
OTHER_MEMBER: dict[str, Any] = {
    "position": 1,
    "name": "001.jpeg",
    "offset": 1_024,
    "length": 999,
    "size": 1_001,
    "compression": "deflate",
    "version": "2",
}
SAME_MEMBER: dict[str, Any] = {
    "kind": "other",
    "megapixels": 9.0,
    "target": "a.jpg",
    "reason": "name_refused",
    "content": "image",
    "file": FileInArchive(0, 9_000, 9_000, "stored"),  # the source's version covers it
    "dpi": 300.0,
}
OTHER_SOURCE: dict[str, Any] = {"uri": "s3://archive/1904/other.tar", "version": '"etag-2"'}
SAME_SOURCE: dict[str, Any] = {"path": "elsewhere/box.tar", "kind": "zip", "size": 1}


def unit_id(
    source: Source = TAR,
    member: Member = FIRST,
    fingerprint: str = FINGERPRINT,
    generation: int = 0,
) -> str:
    return make_unit(source, [member], fingerprint, generation).id


def test_sources_have_the_ids_they_always_had() -> None:
    assert_pinned("source_ids.json", {name: source.id for name, source in SOURCES.items()})


def test_units_have_the_ids_they_always_had() -> None:
    units = {
        "one member": make_unit(TAR, [FIRST], FINGERPRINT),
        "two members": make_unit(TAR, [FIRST, SECOND], FINGERPRINT),
        "half of them": make_unit(TAR, [SECOND], FINGERPRINT),
        "another fingerprint": make_unit(TAR, [FIRST], "0" * 64),
        "tried again": make_unit(TAR, [FIRST], FINGERPRINT, 1),
        "of a folder": make_unit(FOLDER, [LOOSE], FINGERPRINT),
    }

    assert_pinned("unit_ids.json", {name: unit.id for name, unit in units.items()})


def test_every_field_of_a_member_either_changes_the_id_or_does_not() -> None:
    assert {field.name for field in fields(Member)} == {*OTHER_MEMBER, *SAME_MEMBER}
    assert {field.name for field in fields(Source)} == {*OTHER_SOURCE, *SAME_SOURCE}


@pytest.mark.parametrize("field", OTHER_MEMBER)
def test_another_member_is_another_unit(field: str) -> None:
    assert unit_id(member=replace(FIRST, **{field: OTHER_MEMBER[field]})) != unit_id()


@pytest.mark.parametrize("field", SAME_MEMBER)
def test_what_only_says_how_much_work_a_member_is_leaves_the_id_alone(field: str) -> None:
    assert unit_id(member=replace(FIRST, **{field: SAME_MEMBER[field]})) == unit_id()


@pytest.mark.parametrize("field", OTHER_SOURCE)
def test_another_source_is_another_unit(field: str) -> None:
    assert unit_id(source=replace(TAR, **{field: OTHER_SOURCE[field]})) != unit_id()


@pytest.mark.parametrize("field", SAME_SOURCE)
def test_where_a_source_goes_leaves_the_id_alone(field: str) -> None:
    assert unit_id(source=replace(TAR, **{field: SAME_SOURCE[field]})) == unit_id()


def test_another_fingerprint_or_another_try_is_another_unit() -> None:
    assert len({unit_id(), unit_id(fingerprint="0" * 64), unit_id(generation=1)}) == 3


def test_a_file_added_to_a_folder_leaves_the_units_of_the_others_alone() -> None:
    assert unit_id(replace(FOLDER, version="one file more"), LOOSE) == unit_id(FOLDER, LOOSE)
