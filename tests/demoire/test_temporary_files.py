"""Where temporary files lie: on a disk, unless the user says otherwise; and who removes them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demoire.temporary_files import (
    is_in_memory,
    new_temporary_file,
    new_temporary_folder,
    remove_abandoned,
    temporary_folder,
)


def test_they_lie_on_a_disk_where_the_usual_folder_is_in_memory(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    assert is_in_memory(str(small_disk)) and temporary_folder() == "/var/tmp"
    with new_temporary_file() as file:
        on_disk = os.stat("/var/tmp").st_dev
        assert os.fstat(file.fileno()).st_dev == on_disk != small_disk.stat().st_dev


def test_they_lie_where_the_user_says(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert temporary_folder() == str(small_disk)


def test_they_leave_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with new_temporary_file() as file:
        file.write(b"content")
        assert list(tmp_path.iterdir()) == []


@contextmanager
def another_process_at_work(in_folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process with a temporary folder that it has not done with, and that folder."""
    program = (
        "from demoire.temporary_files import new_temporary_folder\n"
        "with new_temporary_folder() as folder:\n"
        "    (folder / 'file').write_bytes(b'content')\n"
        "    print(folder, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(in_folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_those_of_a_killed_process_are_removed_by_the_next_and_those_of_a_living_one_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "demoire-locked-notes.txt").write_text("a file of somebody else's")
    remove_abandoned.cache_clear()
    with (
        another_process_at_work(tmp_path) as (killed, abandoned),
        another_process_at_work(tmp_path) as (_, in_use),
    ):
        killed.kill()
        killed.wait()
        assert (abandoned / "file").exists()
        with new_temporary_folder() as own:
            assert not abandoned.exists()
            assert (in_use / "file").read_bytes() == b"content"
            assert own.is_dir()
    assert not own.exists()
    assert (tmp_path / "demoire-locked-notes.txt").exists()
