"""The search for planted secrets finds them; otherwise the tests beside it would prove nothing."""

import base64
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.flows.secrets.planted import OTHER_SECRET, SECRET, left_in, shown_in


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET, safe=""),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        f"https://...{SECRET.rpartition('/')[2]}@store",
    ],
    ids=["plain", "quoted", "base64", "urlsafe", "last part"],
)
def test_the_search_finds_a_secret_in_each_kind_of_file(written: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/plain.log").write_bytes(b"\xff\0" + written.encode() + b"\n")
    packed, schema = tmp_path / "values.parquet", tmp_path / "schema.parquet"
    notes = pa.table({"note": ["so " * 99, written]})
    pq.write_table(notes, packed, compression="gzip", use_dictionary=False, write_statistics=False)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"note": written}), schema)
    with closing(sqlite3.connect(tmp_path / "live.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE log (line TEXT)")
        database.execute("INSERT INTO log VALUES (?)", (written,))
        database.commit()
        for file in (packed, tmp_path / "live.db"):  # which it is not enough to read as they are
            assert shown_in(file.read_bytes(), SECRET) == []
        planted = {"logs/plain.log", "values.parquet", "schema.parquet", "live.db", "live.db-wal"}
        assert set(left_in(tmp_path, SECRET)) == planted
        assert left_in(tmp_path, OTHER_SECRET) == {}
