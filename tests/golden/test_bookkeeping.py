"""What a run leaves at DST: the report's columns and rows, names and forms of all below _demoire.

A run of this version has to go on where one of the last version stopped, and people query the
report by its columns, so both are as much an interface as the command line.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.golden.conftest import Mirror
from tests.golden.mirror import contents
from tests.golden.pinned import assert_pinned, types_of, without_ids

FACTS = (
    "source",
    "member",
    "page",
    "source_kind",
    "width",
    "height",
    "mode",
    "bits",
    "dpi",
    "icc",
    "status",
    "reason",
    "tiles",
    "tiles_restored",
    "attempt",
    "device",
)  # of a row: what does not depend on the machine, the weights or the moment
UNTOUCHED = (
    "box.tar!catalogue.txt",
    "box.tar!torn.jpg",
    "box.tar!letter.jpg",
    "scans.zip!notes.xml",
    "loose/README.txt",
)


def bookkeeping(mirror: Mirror, suffix: str) -> Iterator[tuple[str, Path]]:
    """Files below _demoire by name, ids replaced by placeholders."""
    folder = mirror.dst / "_demoire"
    for path in sorted(folder.rglob(f"*{suffix}")):
        if path.is_file():
            yield without_ids(str(path.relative_to(folder))), path


def columns(schema: pa.Schema) -> list[dict[str, Any]]:
    """Name, type and nullability of each column in order."""
    described = []
    for field in schema:
        described.append({"name": field.name, "type": str(field.type), "nullable": field.nullable})
    return described


def report_rows(mirror: Mirror) -> list[dict[str, Any]]:
    """The rows of all sources, by source and then in its own order."""
    rows = []
    for path in (mirror.dst / "_demoire" / "report").glob("*.parquet"):
        rows += pq.read_table(path).to_pylist()
    return sorted(rows, key=lambda row: (row["source"], int(row["image_id"].partition("/")[2])))


def test_the_report_has_the_columns_it_always_had(mirror: Mirror) -> None:
    folder = mirror.dst / "_demoire" / "report"
    schemas = [pq.read_schema(path) for path in folder.glob("*.parquet")]

    assert schemas
    for schema in schemas:
        assert schema.metadata == {b"demoire.report": b"1"}
        assert_pinned("report_columns.json", columns(schema))


def test_the_report_says_of_each_picture_what_it_is_and_what_came_of_it(mirror: Mirror) -> None:
    rows = report_rows(mirror)

    assert_pinned("report_rows.json", [{name: row[name] for name in FACTS} for row in rows])
    run_ids = {row["run_id"] for row in rows if row["attempt"]}
    assert run_ids == {mirror.summary["run_id"]}


def test_an_image_is_named_by_its_source_and_its_place_in_it(mirror: Mirror) -> None:
    torn = next(row for row in report_rows(mirror) if row["member"] == "torn.jpg")

    source_id = hashlib.sha256(f"tar\0{mirror.src}/box.tar".encode()).hexdigest()[:16]
    assert torn["image_id"] == f"{source_id}/3"


def test_the_report_names_the_bytes_that_came_in_and_went_out(mirror: Mirror) -> None:
    digests = {}
    for folder in (mirror.src, mirror.dst):
        digests[folder] = {content.name: content.digest for content in contents(folder)}

    for row in report_rows(mirror):
        if row["source_kind"] == "tar.gz":
            continue
        separator = "/" if row["source_kind"] == "folder" else "!"
        name = f"{row['source']}{separator}{row['member']}"
        assert row["sha256_in"] == digests[mirror.src][name]
        assert row["sha256_out"] == digests[mirror.dst][name]


def test_files_below_demoire_have_the_names_they_always_had(mirror: Mirror) -> None:
    names = [name for name, _ in bookkeeping(mirror, "")]

    assert_pinned("bookkeeping_names.json", sorted(set(names)))


def test_markers_have_the_keys_and_types_they_always_had(mirror: Mirror) -> None:
    """Several forms of one file differ by what was there: no payloads, no reasons."""
    forms: dict[str, list[Any]] = {}
    for name, path in bookkeeping(mirror, ".json"):
        form = types_of(json.loads(path.read_text(encoding="utf-8")))
        known = forms.setdefault(name, [])
        if form not in known:
            known.append(form)
    for known in forms.values():
        known.sort(key=json.dumps)

    assert_pinned("bookkeeping_json.json", forms)


def test_tables_have_the_columns_they_always_had(mirror: Mirror) -> None:
    tables = {}
    for name, path in bookkeeping(mirror, ".parquet"):
        schema = pq.read_schema(path)
        metadata = sorted(key.decode() for key in schema.metadata or {})
        table = {"metadata": metadata, "columns": columns(schema)}
        assert tables.setdefault(name, table) == table, f"two tables called {name} differ"

    assert_pinned("bookkeeping_tables.json", tables)


def test_the_mirror_has_the_members_of_the_collection_in_their_order(mirror: Mirror) -> None:
    names = [content.name for content in contents(mirror.dst)]

    assert names == [content.name for content in contents(mirror.src)]


def test_what_is_no_picture_or_cannot_be_cleaned_arrives_byte_for_byte(mirror: Mirror) -> None:
    before = {content.name: content.data for content in contents(mirror.src)}
    after = {content.name: content.data for content in contents(mirror.dst)}

    same = {name for name in before if before[name] == after[name]}
    assert same == set(UNTOUCHED)
