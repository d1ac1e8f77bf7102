"""Places: the same promises on a disk, on rclone's S3 (real signatures) and on moto's (real
conditional writes).
"""

import io
import itertools
import multiprocessing
import os
import pickle
import stat
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demoire.errors import ConfigError, SourceChangedError, StorageError, UsageError
from pipelines.names import redact
from pipelines.storage.open import check_places, open_place
from pipelines.storage.place import Place
from pipelines.storage.range_file import RangeFile
from tests.s3_server import s3_variables, serve_faults, serve_moto, serve_s3

KEY, SECRET = "a-key", "planted-secret-7f3a"


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "box").mkdir()
    with serve_s3(folder, KEY, SECRET) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serve_moto() as endpoint:
        yield endpoint


@pytest.fixture
def s3_bucket(buckets: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A fresh prefix of a bucket whose server checks signatures."""
    point_at(buckets, monkeypatch)
    return open_place(f"s3://box/{time.monotonic_ns()}")


@pytest.fixture(params=["local", "rclone", "moto"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "local":
        return open_place(str(tmp_path / "place"))
    if request.param == "rclone":
        return request.getfixturevalue("s3_bucket")
    return moto_bucket(request.getfixturevalue("moto"), monkeypatch)


def point_at(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, secret: str = SECRET, key: str = KEY
) -> None:
    for name, value in s3_variables(endpoint, key, secret).items():
        monkeypatch.setenv(name, value)


def moto_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    import boto3

    point_at(endpoint, monkeypatch)
    bucket = f"box-{time.monotonic_ns()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return open_place(f"s3://{bucket}/in")


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


def test_a_tar_is_read_through_an_open_file(place: Place) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("a", "b"):
            info = tarfile.TarInfo(name)
            info.size = 200_000
            tar.addfile(info, io.BytesIO(name.encode() * 200_000))
    place.write("t.tar", buffer.getvalue())
    with place.open("t.tar") as file, tarfile.open(fileobj=file) as tar:
        second = tar.extractfile("b")
        assert second is not None and second.read() == b"b" * 200_000


def test_jumping_reads_little_and_reading_on_asks_seldom(s3_bucket: Place) -> None:
    data = os.urandom(1 << 20) * 12
    s3_bucket.write("big", data)
    file = s3_bucket.open("big")
    assert isinstance(file, RangeFile)
    for offset in range(0, len(data), 3 << 20):
        file.seek(offset)
        assert file.read(512) == data[offset : offset + 512]
    assert file.requests == 4 and file.bytes_read <= 4 * RangeFile.SMALLEST
    whole = s3_bucket.open("big")
    assert isinstance(whole, RangeFile)
    assert b"".join(iter(lambda: whole.read(64 << 10), b"")) == data
    assert whole.requests < 15


# Local only


def test_a_written_file_has_the_users_usual_mode(tmp_path: Path) -> None:
    open_place(str(tmp_path)).write("x", b"")
    (tmp_path / "y").touch()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "y").stat().st_mode
    )


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
        "inside.jpg": "file",
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
        os.link(path, tmp_path / ".demoire-dead.tmp")
    assert [entry.path for entry in place.list()] == ["x"]
    assert [entry.path for entry in place.leftovers()] == [".demoire-dead.tmp"]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    place = open_place(str(tmp_path))
    place.write(name, b"x")
    assert [entry.path for entry in place.list()] == [name]
    with pytest.raises(StorageError) as caught:
        place.read("b" + name)
    str(caught.value).encode()  # the sentence can be printed all the same


# What goes wrong, in one sentence


def sentence(error: BaseException) -> str:
    text = str(error)
    assert (
        text.endswith(".") and "\n" not in text and SECRET not in text and "Traceback" not in text
    )
    return text


@pytest.mark.parametrize(("key", "secret"), [(KEY, "wrong-secret"), ("wrong-key", SECRET)])
def test_wrong_credentials(
    buckets: str, monkeypatch: pytest.MonkeyPatch, key: str, secret: str
) -> None:
    point_at(buckets, monkeypatch, secret, key)
    place = open_place("s3://box/x")
    for action in (
        lambda: list(place.list()),
        lambda: place.read("a"),
        lambda: place.write("a", b""),
    ):
        with pytest.raises(StorageError) as caught:
            action()
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in sentence(caught.value)
        assert secret not in str(caught.value) and caught.value.exit_code == 2
    with pytest.raises(StorageError, match="s3://box/x"):
        check_places("s3://box/x", "s3://box/y")


def test_no_credentials_at_all(
    buckets: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at(buckets, monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StorageError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_place("s3://box/x").read("a")


def test_a_missing_bucket_and_a_missing_object(s3_bucket: Place) -> None:
    with pytest.raises(StorageError, match="no such bucket"):
        list(open_place("s3://no-such-box/x").list())
    with pytest.raises(StorageError, match="no such bucket"):
        open_place("s3://no-such-box/x").write("a", b"")
    with pytest.raises(StorageError, match="s3://box/.*/nothing.*does not exist"):
        s3_bucket.read("nothing")
    with pytest.raises(StorageError, match="does not exist"):
        s3_bucket.open("nothing")


def test_a_store_that_cannot_be_reached_is_told_soon_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(
        StorageError, match="http://127.0.0.1:9 cannot be reached, check AWS_ENDPOINT_URL"
    ):
        open_place("s3://box").read("a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:9")
    with pytest.raises(ConfigError, match="endpoint at 127.0.0.1:9 carries credentials") as caught:
        open_place("s3://box").read("a")
    sentence(caught.value)


def test_storage_options_come_from_the_environment(
    buckets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    options = f'{{"endpoint_url": "{buckets}", "key": "{KEY}", "secret": "{SECRET}"}}'
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", options)
    place = open_place(f"s3://box/{time.monotonic_ns()}")
    place.write("x", b"by options")
    assert place.read("x") == b"by options"
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", f"secret={SECRET}")
    with pytest.raises(ConfigError) as caught:
        place.read("x")
    sentence(caught.value)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match=r"s3://\*\*\*@box/x carries credentials") as caught:
        open_place(f"s3://user:{SECRET}@box/x")
    sentence(caught.value)
    assert redact("http://user:p@ss@host:1/a@b") == "http://***@host:1/a@b"


@pytest.mark.parametrize("uri", ["gs://box/x", "s3://", "", "http://user:pw@host/x"])
def test_other_places_are_refused(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_place(uri)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("fault", ["slow_down", "reset", "short_body", "other_range"])
def test_a_store_that_stumbles_is_asked_again(
    s3_bucket: Place, buckets: str, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    data = os.urandom(100_000)
    s3_bucket.write("x", data)
    with serve_faults(buckets, itertools.cycle([fault, None])) as endpoint:
        point_at(endpoint, monkeypatch)
        for offset in (0, 10, 50_000):
            assert s3_bucket.read("x", offset, 40_000) == data[offset : offset + 40_000]
        s3_bucket.write("y", data[:1000])
        assert [entry.path for entry in s3_bucket.list()] == ["x", "y"]
        assert s3_bucket.read("y") == data[:1000]


def test_a_creation_whose_answer_was_lost_is_still_ours(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moto_bucket(moto, monkeypatch)
    # the HEAD, then the PUT, which is done and not told
    with serve_faults(moto, [None, "reset"]) as endpoint:
        point_at(endpoint, monkeypatch)
        assert place.create("u.json", b"ours") is True
        assert place.create("u.json", b"theirs") is False
    assert place.read("u.json") == b"ours"


# check_places


@pytest.fixture
def box(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    (box / "inner").mkdir(parents=True)
    (box / "a.jpg").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "alias").symlink_to("box")
    return tmp_path


@pytest.mark.parametrize(
    ("src", "dst", "says"),
    [
        ("nothing", "out", "does not exist"),
        ("nothing/*.tar", "out", "does not exist"),
        ("empty", "out", "is empty"),
        ("box", "box", "SRC and DST are both"),
        ("box", "alias", "SRC and DST are both"),
        ("box", "box/inner/out", "lies inside SRC"),
        ("box/inner/../a.jpg", "box", "lies inside DST"),
        ("box", ".", "lies inside DST"),
        ("box/*", "box/out", "lies inside SRC"),
        ("box/**/*.tar", "box/out", "lies inside SRC"),
        ("box", "file", "a file stands where a folder is needed"),
        ("box", "file/out", "a file stands where a folder is needed"),
    ],
)
def test_places_that_do_not_go_together(box: Path, src: str, dst: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        check_places(str(box / src), f"{box}/{dst}")
    assert caught.value.exit_code == 2
    sentence(caught.value)


def test_places_that_go_together_leave_no_trace(box: Path) -> None:
    check_places(str(box / "box"), str(box / "out"))
    check_places(str(box / "box" / "a.jpg"), str(box / "out"))
    check_places(str(box / "box" / "*.jpg"), str(box / "box" / "out"))
    assert [p for p in (box / "out").rglob("*") if p.is_file()] == []


def test_buckets_that_do_and_do_not_go_together(s3_bucket: Place) -> None:
    s3_bucket.write("in/a.jpg", b"x")
    check_places(f"{s3_bucket.uri}/in", f"{s3_bucket.uri}/out")
    with pytest.raises(UsageError, match="lies inside SRC"):
        check_places(s3_bucket.uri, f"{s3_bucket.uri}/out")
    with pytest.raises(UsageError, match="does not exist"):
        check_places(f"{s3_bucket.uri}/nothing", f"{s3_bucket.uri}/out")
    with pytest.raises(StorageError, match="no such bucket"):
        check_places(f"{s3_bucket.uri}/in", "s3://no-such-box/out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
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


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable to root")
def test_an_unwritable_destination(box: Path) -> None:
    (box / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="permission denied"):
        check_places(str(box / "box"), str(box / "locked" / "out"))
