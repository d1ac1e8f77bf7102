"""The files of a unit on their way to the actor that cleans them."""

import random

import pyarrow as pa
import pytest

from demoire import file_bytes
from demoire.file_bytes import FileBytes, MappedFile, kept
from pipelines.clean.payload_column import PAYLOADS, payload_column, payloads_in

LARGE = 1 << 16
FILES = [random.Random(seed).randbytes(size) for seed, size in enumerate((5, 3 * LARGE, 0, LARGE))]


@pytest.fixture(autouse=True)
def some_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_bytes, "LARGE_BYTES", LARGE)


@pytest.mark.parametrize(
    "files",
    [[None], [FILES[0]], [FILES[1]], [None, *FILES, None], [FILES[1], FILES[3]], []],
    ids=["none", "small", "large", "all", "two large", "empty"],
)
def test_files_arrive_as_they_were_sent_and_large_ones_mapped(files: list[bytes | None]) -> None:
    sent: list[FileBytes | None] = [None if file is None else kept(file) for file in files]
    column = payload_column(sent)
    column.validate(full=True)
    assert column.type == PAYLOADS
    # Through a stream, as between processes.
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([column], ["payloads"])
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    table = pa.ipc.open_stream(sink.getvalue()).read_all()
    arrived = payloads_in(table["payloads"][0])
    assert [None if file is None else bytes(file) for file in arrived] == files
    for file in arrived:
        assert isinstance(file, MappedFile) == (file is not None and len(file) >= LARGE)
