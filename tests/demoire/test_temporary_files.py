"""Where temporary files lie: on a disk, unless the user says otherwise."""

import os
from pathlib import Path

import pytest

from demoire.temporary_files import is_in_memory, new_temporary_file, temporary_folder


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
