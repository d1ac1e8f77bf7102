"""URLs that name a place and those that do not, and whether SRC and DST go together."""

import os
from pathlib import Path

import pytest

from demoire.errors import StorageError, UsageError
from pipelines.names import redact
from pipelines.storage.open import check_places, open_place
from pipelines.storage.place import Place
from tests.pipelines.storage.stores import SECRET, assert_one_sentence


@pytest.fixture
def box(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    (box / "inner").mkdir(parents=True)
    (box / "a.jpg").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "alias").symlink_to("box")
    return tmp_path


@pytest.mark.parametrize("uri", ["gs://box/x", "s3://", "", "http://user:pw@host/x"])
def test_other_places_are_refused(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_place(uri)
    assert "pw" not in str(caught.value)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match=r"s3://\*\*\*@box/x carries credentials") as caught:
        open_place(f"s3://user:{SECRET}@box/x")
    assert_one_sentence(caught.value)
    assert redact("http://user:p@ss@host:1/a@b") == "http://***@host:1/a@b"


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
        ("box", "file", "is a file: give a folder"),
        ("box", "file/out", "a file stands where a folder is needed"),
    ],
)
def test_places_that_do_not_go_together(box: Path, src: str, dst: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        check_places(str(box / src), f"{box}/{dst}")
    assert caught.value.exit_code == 2
    assert_one_sentence(caught.value)


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


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable to root")
def test_an_unwritable_destination(box: Path) -> None:
    (box / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="permission denied"):
        check_places(str(box / "box"), str(box / "locked" / "out"))
