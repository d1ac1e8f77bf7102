"""The same promises on a disk, on rclone's S3 (real signatures), on moto's (real conditional
writes), and on fsspec's memory.
"""

import multiprocessing
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demoire.errors import SourceChangedError, StorageError
from pipelines.storage.open import open_place
from pipelines.storage.place import Place, write_side_by_side
from tests.pipelines.storage.stores import moto_bucket


def test_an_object_comes_back_whole_and_in_parts(place: Place) -> None:
    place.write("a/b.bin", b"0123456789")
    assert place.read("a/b.bin") == b"0123456789"
    assert place.read("a/b.bin", 3) == b"3456789"
    assert place.read("a/b.bin", 3, 4) == b"3456"
    assert place.read("a/b.bin", 8, 100) == b"89"
    assert place.read("a/b.bin", 50, 10) == b""
    assert place.read("a/b.bin", 2, 0) == b""


def test_listing_goes_deep_or_stays_on_top(place: Place) -> None:
    for path in ("top.txt", "a/one.jpg", "a/deep/two.jpg"):
        place.write(path, path.encode())
    assert {entry.path for entry in place.list()} == {"top.txt", "a/one.jpg", "a/deep/two.jpg"}
    assert {(entry.path, entry.kind) for entry in place.list("a", recursive=False)} == {
        ("a/one.jpg", "file"),
        ("a/deep", "folder"),
    }
    assert list(place.list("nowhere")) == []
    assert [entry.path for entry in place.list_named("a", "o")] == ["a/one.jpg"]
    assert [entry.path for entry in place.list_named("", "to")] == ["top.txt"]
    assert list(place.list_named("a", "de")) == [], "a folder is no file"
    assert list(place.list_named("nowhere", "")) == []
    assert [entry.size for entry in place.list("a/deep")] == [14]


def test_stat_agrees_with_the_listing_and_tells_versions_apart(place: Place) -> None:
    place.write("x", b"first")
    (listed,) = place.list()
    first = place.stat("x")
    assert first is not None and (first.version, first.size) == (listed.version, 5)
    assert abs(first.mtime - time.time()) < 3600
    place.write("x", b"other")
    second = place.stat("x")
    assert second is not None and second.version != first.version
    assert place.stat("y") is None and not place.exists("y")
    assert place.stat("x/y") is None


def test_reading_another_version_than_planned_is_refused(place: Place) -> None:
    place.write("x", b"first")
    planned = place.stat("x")
    assert planned is not None
    assert place.read("x", version=planned.version) == b"first"
    place.write("x", b"other")
    with pytest.raises(SourceChangedError, match="run the same command again"):
        place.read("x", 0, 2, version=planned.version)
    with pytest.raises(SourceChangedError):
        place.open("x", version=planned.version)


def test_what_changes_between_two_ranges_is_never_given_as_one(place: Place) -> None:
    first, other = b"1" * 300_000, b"2" * 300_000
    place.write("x", first)
    planned = place.stat("x")
    assert planned is not None
    with place.open("x", version=planned.version) as file:
        assert file.read(1000) == first[:1000]
        place.write("x", other)
        # A disk keeps the file that is open; a store has only the new one.
        if place.is_file_system:
            assert file.read() == first[1000:]
        else:
            with pytest.raises(SourceChangedError, match="changed since it was planned"):
                file.read()


def test_what_was_planned_and_is_gone_has_changed(place: Place) -> None:
    place.write("a", b"one")
    entry = place.stat("a")
    assert entry is not None
    place.delete("a")
    for look in (place.read, place.open):
        with pytest.raises(SourceChangedError, match="run the same command again"):
            look("a", version=entry.version)
        with pytest.raises(StorageError, match="does not exist"):
            look("a")


def test_only_the_first_creation_counts(place: Place) -> None:
    assert place.create("commits/u.json", b"first") is True
    assert place.create("commits/u.json", b"second") is False
    assert place.read("commits/u.json") == b"first"
    assert [entry.path for entry in place.list()] == ["commits/u.json"]


@pytest.mark.parametrize("where", ["local", "moto"])
def test_of_many_creating_at_once_one_wins(
    where: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on rclone's server: it ignores the condition, which is what the check before is for."""
    local = where == "local"
    place = (
        open_place(str(tmp_path))
        if local
        else moto_bucket(request.getfixturevalue("moto"), monkeypatch)
    )
    with ThreadPoolExecutor(8) as pool:
        for unit in range(5):
            won = list(pool.map(lambda n, unit=unit: place.create(f"u{unit}", b"%d" % n), range(8)))
            assert won.count(True) == 1
            assert place.read(f"u{unit}") == b"%d" % won.index(True)


def test_objects_written_side_by_side_are_all_there_at_the_end(place: Place) -> None:
    objects = {f"folder/{number}": bytes([number]) * 1000 for number in range(3)}
    write_side_by_side(place, objects)
    assert {path: place.read(path) for path in objects} == objects


def test_a_file_is_put_or_built_in_one_step(place: Place, tmp_path: Path) -> None:
    local = tmp_path / "local.bin"
    local.write_bytes(b"content")
    place.put_file(local, "put.bin")
    with place.new_file("built.bin") as path:
        path.write_bytes(b"built")
        assert not place.exists("built.bin")
    assert (place.read("put.bin"), place.read("built.bin")) == (b"content", b"built")
    assert local.exists()


def test_a_file_whose_making_fails_never_appears(place: Place) -> None:
    place.write("x", b"old")
    with pytest.raises(ZeroDivisionError), place.new_file("x") as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError
    assert place.read("x") == b"old"
    assert [entry.path for entry in place.list()] == ["x"]
    assert list(place.leftovers()) == []


def test_deleting_twice_is_no_error(place: Place) -> None:
    place.write("x", b"")
    place.delete("x")
    place.delete("x")
    assert not place.exists("x")


def test_odd_names_are_kept(place: Place) -> None:
    names = ["a b+c&d=e#f%41.jpg", "Ünï/çødé 猫.jpg", "quote'\"<img>.jpg", "[x]*?.jpg"]
    for name in names:
        place.write(name, name.encode())
    assert sorted(entry.path for entry in place.list()) == sorted(names)
    assert [place.read(name).decode() for name in names] == names


def test_a_place_pickles_and_works_in_a_forked_child(place: Place) -> None:
    place.write("x", b"from the parent")  # its client and event loop are alive in the parent now
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        assert (
            pool.apply_async(pickle.loads(pickle.dumps(place)).read, ("x",)).get(60)
            == b"from the parent"
        )
