"""A folder of this machine: modes, links, odd names, full and read-only disks."""

import errno
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demoire.errors import RefusedNameError, StorageError
from pipelines.storage.open import open_place, open_witnessed
from pipelines.storage.place import Place, write_side_by_side


def test_a_written_file_has_the_users_usual_mode(tmp_path: Path) -> None:
    open_place(str(tmp_path)).write("x", b"")
    (tmp_path / "y").touch()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "y").stat().st_mode
    )


@pytest.fixture
def disk_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is flushed to disk and what gets its name, in order: (call, inode)."""
    calls: list[tuple[str, int]] = []

    def recording(name: str, function: Callable[..., None]) -> Callable[..., None]:
        def record(what: "int | Path", *others: "int | Path") -> None:
            calls.append((name, os.stat(what).st_ino))
            function(what, *others)

        return record

    for name in ("fsync", "replace", "link"):
        monkeypatch.setattr(os, name, recording(name, getattr(os, name)))
    return calls


def test_a_file_is_on_disk_before_it_gets_its_name_and_the_name_before_the_write_ends(
    tmp_path: Path, disk_calls: list[tuple[str, int]]
) -> None:
    """Or a power failure leaves an empty file under the name of a whole one."""
    open_place(str(tmp_path)).write("x", b"content")
    file, folder = (tmp_path / "x").stat().st_ino, tmp_path.stat().st_ino
    assert disk_calls == [("fsync", file), ("replace", file), ("fsync", folder)]


def test_a_created_file_is_on_disk_before_it_gets_its_name(
    tmp_path: Path, disk_calls: list[tuple[str, int]]
) -> None:
    assert open_place(str(tmp_path)).create("x", b"content")
    file, folder = (tmp_path / "x").stat().st_ino, tmp_path.stat().st_ino
    assert disk_calls == [("fsync", file), ("link", file), ("fsync", folder)]


@pytest.mark.parametrize(
    "make",
    [
        lambda place: place.write("deep/folder/x", b"content"),
        lambda place: place.create("deep/folder/x", b"content"),
        lambda place: place.make_link("deep/folder/x", "../../content"),
    ],
)
def test_a_folder_that_another_launch_prunes_before_anything_is_in_it_is_made_again(
    make: Callable[[Place], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "content").write_bytes(b"content")
    pruned = []
    mkdir = Path.mkdir

    def make_and_prune(folder: Path, *args: Any, **kwargs: Any) -> None:
        mkdir(folder, *args, **kwargs)
        if folder == tmp_path / "deep" / "folder" and len(pruned) < 2:
            pruned.append(folder)
            os.removedirs(folder)

    monkeypatch.setattr(Path, "mkdir", make_and_prune)
    make(open_place(str(tmp_path)))
    assert (tmp_path / "deep" / "folder" / "x").read_bytes() == b"content"
    assert len(pruned) == 2


def test_a_file_system_without_hard_links_creates_exclusively_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    place = open_place(str(tmp_path))
    assert place.create("x", b"first") is True
    assert place.create("x", b"second") is False
    assert place.read("x") == b"first"


def test_a_disk_that_fails_may_be_well_again_and_a_full_one_needs_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_place(str(tmp_path))
    for number, status in ((errno.EIO, 3), (errno.ENOSPC, 2)):

        def fail(_: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError) as caught:
            place.write("x", b"")
        assert caught.value.exit_code == status


def test_of_several_files_one_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))
    with pytest.raises(RefusedNameError):
        write_side_by_side(place, {"good": b"", "x" * 300: b""})
    assert place.exists("good")


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/out", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    inside = open_place(str(tmp_path / "in"))
    for action in (
        lambda: inside.write(path, b"x"),
        lambda: inside.create(path, b"x"),
        lambda: inside.read(path),
    ):
        with pytest.raises(StorageError, match="would lie outside"):
            action()
    assert list(tmp_path.rglob("out")) == []


def test_links_that_leave_the_folder_and_pipes_are_told_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    box = tmp_path / "box"
    (box / "sub").mkdir(parents=True)
    (box / "real.jpg").write_bytes(b"real")
    (box / "inside.jpg").symlink_to("real.jpg")
    (box / "outside.jpg").symlink_to("../secret.jpg")
    (box / "broken.jpg").symlink_to("nothing")
    (box / "loop").symlink_to(".")
    os.mkfifo(box / "pipe.jpg")
    place = open_place(str(box))
    assert {entry.path: entry.kind for entry in place.list()} == {
        "real.jpg": "file",
        "inside.jpg": "link",
        "outside.jpg": "link",
        "broken.jpg": "link",
        "loop": "link",
        "pipe.jpg": "special",
    }
    with pytest.raises(StorageError, match="no plain file"):
        place.read("pipe.jpg")


def test_what_a_killed_writer_leaves_is_hidden_until_asked_for(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))
    with place.new_file("x") as path:
        left = path.name
        os.link(path, tmp_path / "kept")
    (tmp_path / "kept").rename(tmp_path / left)
    assert [entry.path for entry in place.list()] == ["x"]
    assert [entry.path for entry in place.leftovers()] == [left]


def test_what_users_call_their_own_files_is_never_taken_for_a_leftover(tmp_path: Path) -> None:
    names = [".demoire-.tmp", ".demoire-notes.tmp", f".demoire-{'0' * 32}.tmp.jpg"]
    for name in names:
        (tmp_path / name).touch()
    place = open_place(str(tmp_path))
    assert [entry.path for entry in place.list()] == sorted(names)
    assert list(place.leftovers()) == []
    assert not any(place.refuses(name) for name in names)


@pytest.mark.parametrize("leaves_a_folder", [False, True], ids=["renamed", "unmounted"])
def test_nothing_is_written_where_a_place_with_a_witness_went_away(
    tmp_path: Path, leaves_a_folder: bool
) -> None:
    root = tmp_path / "out"
    (root / "notes").mkdir(parents=True)
    place = open_witnessed(str(root), "notes")
    place.write("box/a", b"a")
    root.rename(tmp_path / "elsewhere")
    if leaves_a_folder:
        root.mkdir()
    writes: list[Callable[[], object]] = [
        lambda: place.write("box/b", b"b"),
        lambda: place.create("notes/c", b"c"),
        lambda: place.make_folder("empty"),
        lambda: place.make_link("box/link", "a"),
        lambda: place.read("box/a"),
    ]
    for write in writes:
        with pytest.raises(StorageError, match=r"/out went away; mount it again"):
            write()
    assert root.exists() == leaves_a_folder and not list(tmp_path.glob("out/*"))
    if leaves_a_folder:
        root.rmdir()
    (tmp_path / "elsewhere").rename(root)
    place.write("box/b", b"b")
    assert [entry.path for entry in place.list()] == ["box/a", "box/b"]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    place = open_place(str(tmp_path))
    place.write(name, b"x")
    assert [entry.path for entry in place.list()] == [name]
    with pytest.raises(StorageError) as caught:
        place.read("b" + name)
    str(caught.value).encode()  # the sentence can be printed all the same


def test_a_full_disk_is_told_and_leaves_nothing_half_written(small_disk: Path) -> None:
    place = open_place(str(small_disk))
    place.write("old", b"x" * 100_000)
    for write in (place.write, place.create):
        with pytest.raises(
            StorageError, match="the disk is full, free some space and run the same command again"
        ):
            write("new", b"x" * 1_000_000)
    with pytest.raises(StorageError, match="the disk is full"), place.new_file("new") as local:
        local.write_bytes(b"x" * 1_000_000)
    assert [entry.path for entry in place.list()] == ["old"] and not list(place.leftovers())
    place.write("old", b"y" * 100_000)
    assert place.read("old") == b"y" * 100_000


def test_a_full_temporary_folder_is_told(
    small_disk: Path, s3_bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with (
        pytest.raises(StorageError, match="set TMPDIR to a larger disk"),
        s3_bucket.new_file("a") as local,
    ):
        local.write_bytes(b"x" * 1_000_000)
    assert not s3_bucket.exists("a") and list(small_disk.iterdir()) == []


def test_a_read_only_destination_is_told(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="the file system is read-only, choose another place"):
        open_place(str(small_disk)).write("new", b"x")
