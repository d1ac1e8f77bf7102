"""Files written in one step: what a crash leaves behind, and that bytes reach the disk first."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demoire.errors import UsageError
from demoire.files import whole_file, write_whole, writing_to


def test_the_file_has_the_new_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    target.write_bytes(b"old")
    write_whole(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_process_that_is_killed_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    target.write_bytes(b"old")
    program = f"""
import os, signal
from pathlib import Path
from demoire.files import whole_file

with whole_file(Path({str(target)!r})) as unfinished:
    file = unfinished.open("wb")
    file.write(b"half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    (left_over,) = (path for path in tmp_path.iterdir() if path != target)
    assert left_over.name.startswith(".demoire-") and left_over.read_bytes() == b"half of the new"


def test_an_error_in_the_block_leaves_the_old_file_alone_in_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole_file(target) as unfinished:
        unfinished.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_bytes_are_on_disk_before_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename may survive a power cut that the bytes do not: the file would be there, and
    empty.
    """
    target = tmp_path / "figures.json"
    flushed: list[bytes] = []
    steps: list[str] = []
    fsync = os.fsync
    replace = os.replace

    def watched_fsync(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().read_bytes())
        steps.append("fsync")
        fsync(descriptor)

    def watched_replace(source: Path, destination: Path) -> None:
        steps.append("replace")
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_whole(target, b"new")
    assert steps == ["fsync", "replace"]
    assert flushed == [b"new"]
    assert target.read_bytes() == b"new"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    with whole_file(target) as first, whole_file(target) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert target.read_bytes() == b"first"  # the last one to finish
    assert list(tmp_path.iterdir()) == [target]


def test_a_name_as_long_as_the_system_allows_is_no_hindrance(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    write_whole(target, b"new")
    assert target.read_bytes() == b"new"


def test_what_the_system_refuses_is_a_sentence_that_says_the_way_out(tmp_path: Path) -> None:
    out = tmp_path / "no folder" / "figures.json"

    with pytest.raises(UsageError) as refused, writing_to(out, "choose another folder"):
        out.write_bytes(b"new")

    reason = "No such file or directory"
    assert str(refused.value) == f"{out} cannot be written ({reason}); choose another folder."
