"""The bytes of files: large ones are mapped, and used like those in memory."""

import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demoire import file_bytes
from demoire.errors import MachineError
from demoire.file_bytes import (
    FileBytes,
    MappedFile,
    copy_to_change,
    count_in,
    digest_of,
    file_of_parts,
    finished,
    read_file,
    stream_of,
    write_file,
)

CONTENT = random.Random(1).randbytes(3 << 20)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["in memory", "mapped"])
def data(request: pytest.FixtureRequest, file: Path, monkeypatch: pytest.MonkeyPatch) -> FileBytes:
    if request.param == "mapped":
        monkeypatch.setattr(file_bytes, "LARGE_BYTES", 0)
    return read_file(file)


def test_a_large_file_is_mapped_and_a_small_one_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(read_file(file), bytes)
    monkeypatch.setattr(file_bytes, "LARGE_BYTES", len(CONTENT))
    assert isinstance(read_file(file), MappedFile)


def test_a_mapped_file_does_not_change_with_the_one_that_it_was_read_from(
    data: FileBytes, file: Path
) -> None:
    file.write_bytes(b"shorter")
    assert bytes(data) == CONTENT


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(pipe.write_bytes, CONTENT)
        assert read_file(pipe) == CONTENT
        assert writing.result() == len(CONTENT)


def test_where_the_disk_is_full_a_large_file_is_read_into_memory_if_that_has_room(
    file: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_bytes, "LARGE_BYTES", len(CONTENT))
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert read_file(file) == CONTENT and isinstance(read_file(file), bytes)
    monkeypatch.setattr(file_bytes, "free_memory", lambda: 2 * len(CONTENT))
    with pytest.raises(MachineError, match="no room left for temporary files .* set TMPDIR"):
        read_file(file)


def test_the_digest_is_that_of_the_bytes(data: FileBytes) -> None:
    assert digest_of(data) == hashlib.sha256(CONTENT).hexdigest()


def test_parts_are_those_of_bytes(data: FileBytes) -> None:
    assert data[5:9] == CONTENT[5:9] and data[-3:] == CONTENT[-3:] and data[7] == CONTENT[7]
    assert data.startswith(CONTENT[:4]) and data.startswith((b"?", CONTENT[9:12]), 9)
    assert not data.startswith((b"?", b"!")) and data.endswith(CONTENT[-4:])
    assert not data.endswith(CONTENT + b"?")
    assert data.index(CONTENT[1000:1010]) == 1000
    assert count_in(data, CONTENT[:2]) == CONTENT.count(CONTENT[:2]) > 10
    with pytest.raises(ValueError):
        data.index(CONTENT[::-1])


def test_two_streams_of_a_file_have_positions_of_their_own(data: FileBytes) -> None:
    with stream_of(data) as one, stream_of(data) as other:
        one.seek(-10, os.SEEK_END)
        assert other.read(20) == CONTENT[:20] and one.read() == CONTENT[-10:]
        assert other.seek(len(CONTENT) + 5) and other.read(1) == b""


def test_what_is_made_of_a_file_lies_where_the_file_does(data: FileBytes, tmp_path: Path) -> None:
    whole = memoryview(data)
    longer = file_of_parts((whole[:10], b"between", whole[10:]), like=data)
    with copy_to_change(data) as out:
        out.seek(10)
        out.write(b"over")
        changed = finished(out)
    assert type(longer) is type(changed) is type(data)
    assert bytes(longer) == CONTENT[:10] + b"between" + CONTENT[10:]
    assert bytes(changed) == CONTENT[:10] + b"over" + CONTENT[14:]
    assert bytes(data) == CONTENT
    write_file(tmp_path / "written", longer)
    assert (tmp_path / "written").read_bytes() == longer[:]


def test_what_is_let_go_is_there_when_it_is_looked_at_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_bytes, "LARGE_BYTES", 0)
    data = read_file(file)
    assert isinstance(data, MappedFile)
    data.let_go()
    assert data[:] == CONTENT


def test_a_mapped_file_closes_its_descriptor(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_bytes, "LARGE_BYTES", 0)
    before = len(os.listdir("/proc/self/fd"))
    data = read_file(file)
    assert len(os.listdir("/proc/self/fd")) > before
    del data
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_there_is_no_room_for_a_copy_a_file_is_read_into_memory(
    small_disk: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(file_bytes, "LARGE_BYTES", 0)
    assert read_file(file) == CONTENT
