"""Plans and their sources as rows of Parquet, and back.

Names are binary, because a name need not be UTF-8.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from pipelines.destination.plans import SourcePlan
from pipelines.names import name_stored_as, stored_name
from pipelines.records import FileInArchive, Member, Source, Unit

_FACTS = [
    ("position", pa.int64()),
    ("name", pa.binary()),
    ("kind", pa.string()),
    ("offset", pa.int64()),
    ("length", pa.int64()),
    ("size", pa.int64()),
    ("compression", pa.string()),
    ("version", pa.string()),
    ("megapixels", pa.float64()),
]
_MEMBER = pa.struct(_FACTS)
_MEMBER_WITH_REASON = pa.struct([*_FACTS, ("reason", pa.string())])
_PAGED_FILE = pa.struct(
    [
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("size", pa.int64()),
        ("compression", pa.string()),
    ]
)
_IMAGE = pa.struct([*_FACTS, ("reason", pa.string()), ("file", _PAGED_FILE), ("dpi", pa.float64())])

UNITS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.int64()),
        ("generation", pa.int64()),
        # Plans of versions before 0.2 have no reasons, files of several pages and resolutions.
        ("members", pa.list_(_IMAGE)),
    ]
)


SOURCES = pa.schema(
    [
        ("uri", pa.binary()),
        ("path", pa.binary()),
        ("kind", pa.string()),
        ("version", pa.string()),
        ("size", pa.int64()),
        ("images", pa.int64()),
        ("unsafe", pa.int64()),
        ("others", pa.int64()),
        ("units", pa.int64()),
        ("megapixels", pa.float64()),
        ("bytes", pa.int64()),
        ("reads", pa.int64()),
        ("damaged", pa.string()),
        # Null in plans of versions before 0.2, like all that follow.
        ("unsafe_members", pa.list_(_MEMBER)),
        ("withheld", pa.list_(_MEMBER_WITH_REASON)),
        ("objects", pa.int64()),
        ("not_looked_into", pa.map_(pa.string(), pa.int64())),
    ]
)


def source_row(planned: SourcePlan) -> dict[str, Any]:
    source = planned.source
    return {
        "uri": stored_name(source.uri),
        "path": stored_name(source.path),
        "kind": source.kind,
        "version": source.version,
        "size": source.size,
        "images": planned.images,
        "unsafe": planned.unsafe,
        "others": planned.others,
        "units": planned.units,
        "megapixels": planned.megapixels,
        "bytes": planned.bytes,
        "reads": planned.reads,
        "damaged": planned.damaged,
        "unsafe_members": [_member_row(member) for member in planned.unsafe_members],
        "withheld": [_member_row(member) for member in planned.withheld],
        "objects": planned.objects,
        "not_looked_into": list(planned.not_looked_into.items()),
    }


def source_plan_of(row: dict[str, Any]) -> SourcePlan:
    source = Source(
        uri=name_stored_as(row["uri"]),
        path=name_stored_as(row["path"]),
        kind=row["kind"],
        version=row["version"],
        size=row["size"],
    )
    return SourcePlan(
        source=source,
        images=row["images"],
        unsafe=row["unsafe"],
        others=row["others"],
        units=row["units"],
        megapixels=row["megapixels"],
        bytes=row["bytes"],
        reads=row["reads"],
        damaged=row["damaged"],
        unsafe_members=members_of(row["unsafe_members"] or []),
        withheld=members_of(row["withheld"] or []),
        objects=row["objects"] or 0,
        not_looked_into=dict(row["not_looked_into"] or []),
    )


def unit_row(unit: Unit, source: int) -> dict[str, Any]:
    return {
        "id": unit.id,
        "source": source,
        "generation": unit.generation,
        "members": [_member_row(member) for member in unit.members],
    }


def _member_row(member: Member) -> dict[str, Any]:
    return {**asdict(member), "name": stored_name(member.name)}


def members_of(rows: Iterable[dict[str, Any]]) -> tuple[Member, ...]:
    return tuple(_member_of(row) for row in rows)


def _member_of(row: dict[str, Any]) -> Member:
    facts = {**row, "name": name_stored_as(row["name"])}
    file = row.get("file")
    if file is not None:
        facts["file"] = FileInArchive(**file)
    return Member(**facts)
