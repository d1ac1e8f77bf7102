"""Objects keep what their store knows of them: read and written, copied by the store, or new."""

import gzip
import hashlib
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from demoire.errors import SourceChangedError
from pipelines.storage import s3_copy
from pipelines.storage.object_facts import ObjectFacts, content_type_of
from pipelines.storage.open import open_place
from pipelines.storage.place import Place
from tests.pipelines.storage.stores import moto_bucket

HEADERS = {
    "ContentType": "image/x-odd",
    "CacheControl": "max-age=60",
    "ContentDisposition": 'attachment; filename="a.jpg"',
    "ContentLanguage": "de",
    "Expires": "Wed, 21 Oct 2037 07:28:00 GMT",
    "Metadata": {"shelf": "b 7", "scanned-by": "Anna"},
}


@pytest.fixture
def box(moto: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A prefix of a bucket whose server keeps headers, metadata and tags."""
    return moto_bucket(moto, monkeypatch)


def _address(place: Place, path: str) -> dict[str, str]:
    bucket, _, key = place.child(path).uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def _put(place: Place, path: str, data: bytes, **options: Any) -> str:
    """Put an object as another program would; its version."""
    boto3.client("s3").put_object(**_address(place, path), Body=data, **options)
    entry = place.stat(path)
    assert entry is not None
    return entry.version


def _kept(place: Place, path: str) -> dict[str, Any]:
    """What the store says of an object, read by another client than ours."""
    client = boto3.client("s3")
    head = client.head_object(**_address(place, path))
    tags = client.get_object_tagging(**_address(place, path))["TagSet"]
    kept = {name: head.get(name) for name in HEADERS if name != "Expires"}
    kept["Expires"] = head["ResponseMetadata"]["HTTPHeaders"].get("expires")
    return kept | {"tags": {tag["Key"]: tag["Value"] for tag in tags}}


def test_what_is_read_and_written_keeps_headers_metadata_and_tags(
    box: Place, tmp_path: Path
) -> None:
    _put(box, "a.jpg", b"before", Tagging="rights=open&who=a%20b", **HEADERS)
    local = tmp_path / "cleaned"
    local.write_bytes(b"after")
    box.put_file(local, "out/a.jpg", box.facts("a.jpg"))
    assert box.read("out/a.jpg") == b"after"
    assert _kept(box, "out/a.jpg") == _kept(box, "a.jpg")
    assert _kept(box, "out/a.jpg") == HEADERS | {"tags": {"rights": "open", "who": "a b"}}


def test_the_store_copies_what_it_holds_with_all_that_it_keeps(box: Place) -> None:
    version = _put(box, "a b+c.jpg", b"bytes", Tagging="rights=open", **HEADERS)
    other = open_place(box.uri.rpartition("/")[0]).child("out")
    assert other.copy_from(box, "a b+c.jpg", "x/ä b+c.jpg", version)
    assert other.read("x/ä b+c.jpg") == b"bytes"
    assert _kept(other, "x/ä b+c.jpg") == HEADERS | {"tags": {"rights": "open"}}


def test_a_large_object_is_copied_in_parts(box: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_copy, "LARGEST_PART", 5 << 20)
    data = bytes(range(256)) * (11 << 12)  # 11 MB
    version = _put(box, "big.tar", data, Tagging="rights=open", **HEADERS)
    assert box.copy_from(box, "big.tar", "out/big.tar", version)
    assert box.read("out/big.tar") == data
    assert "-3" in (box.stat("out/big.tar") or pytest.fail("no copy")).version
    assert _kept(box, "out/big.tar") == HEADERS | {"tags": {"rights": "open"}}


def test_what_changed_since_it_was_planned_is_not_copied(box: Place) -> None:
    version = _put(box, "a.jpg", b"planned")
    _put(box, "a.jpg", b"another")
    with pytest.raises(SourceChangedError):
        box.copy_from(box, "a.jpg", "out/a.jpg", version)
    with pytest.raises(SourceChangedError):
        box.copy_from(box, "gone.jpg", "out/gone.jpg", version)
    assert not box.exists("out/a.jpg")


def test_what_changes_while_the_store_copies_does_not_stay(
    box: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server passes over `CopySourceIfMatch`, as some stores do."""
    version = _put(box, "a.jpg", b"planned")
    copied = s3_copy._copied

    def changes_first(*arguments: Any) -> str:
        _put(box, "a.jpg", b"another")
        return copied(*arguments)

    monkeypatch.setattr(s3_copy, "_copied", changes_first)
    with pytest.raises(SourceChangedError):
        box.copy_from(box, "a.jpg", "out/a.jpg", version)
    assert not box.exists("out/a.jpg")


def test_what_the_store_will_not_copy_is_left_to_reading(box: Place, tmp_path: Path) -> None:
    version = _put(box, "cold.jpg", b"bytes", StorageClass="GLACIER")
    assert not box.copy_from(box, "cold.jpg", "out/cold.jpg", version)
    local = open_place(str(tmp_path))
    local.write("a.jpg", b"bytes")
    assert not box.copy_from(local, "a.jpg", "out/a.jpg", "any")
    assert not local.copy_from(box, "cold.jpg", "a.jpg", version)


def test_a_store_behind_fsspec_copies_too() -> None:
    place = open_place(f"memory://box/{time.monotonic_ns()}")
    place.write("a.jpg", b"bytes")
    entry = place.stat("a.jpg")
    assert entry is not None
    assert place.child("out").copy_from(place, "a.jpg", "b.jpg", entry.version)
    assert place.read("out/b.jpg") == b"bytes"
    with pytest.raises(SourceChangedError):
        place.copy_from(place, "a.jpg", "out/c.jpg", "another version")


def test_what_is_stored_packed_is_copied_as_the_bytes_that_are_stored(box: Place) -> None:
    packed = gzip.compress(b"<svg/>" * 100)
    version = _put(box, "a.svg", packed, ContentEncoding="gzip", ContentType="image/svg+xml")
    assert box.read("a.svg", version=version) == packed
    with box.open("a.svg", version=version) as file:
        assert file.read() == packed
    assert box.copy_from(box, "a.svg", "out/a.svg", version)
    head = boto3.client("s3").head_object(**_address(box, "out/a.svg"))
    assert (head["ContentEncoding"], head["ContentLength"]) == ("gzip", len(packed))


def test_tags_that_must_not_be_written_stop_nothing(
    box: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes at most 10 tags, as S3 does; refused is refused."""
    local = tmp_path / "x"
    local.write_bytes(b"x")
    tags = tuple((f"name {number}", "value") for number in range(60))
    box.put_file(local, "x.jpg", ObjectFacts(cache_control="no-store", tags=tags))
    kept = _kept(box, "x.jpg")
    assert (kept["tags"], kept["CacheControl"]) == ({}, "no-store")


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page/index.html", "text/html; charset=utf-8"),
        ("runs/1.json", "application/json"),
        ("report/1.parquet", "application/vnd.apache.parquet"),
        ("fixity.csv", "text/csv; charset=utf-8"),
        ("A.JPG", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.tif", "image/tiff"),
        ("a.webp", "image/webp"),
        ("box.tar", "application/x-tar"),
        ("box.tar.gz", "application/gzip"),
        ("box.zip", "application/zip"),
        ("no-suffix", ""),
    ],
)
def test_what_is_new_has_the_type_of_its_name(name: str, content_type: str, box: Place) -> None:
    assert content_type_of(name) == content_type
    if content_type:
        box.write(name, b"x")
        assert _kept(box, name)["ContentType"] == content_type
        assert box.create(f"new/{name}", b"x")
        assert _kept(box, f"new/{name}")["ContentType"] == content_type
        assert "ContentEncoding" not in boto3.client("s3").head_object(**_address(box, name))


def test_a_cleaned_image_has_the_type_of_an_image() -> None:
    unnamed = ObjectFacts(content_type="binary/octet-stream", content_encoding="gzip")
    assert unnamed.of_changed("a.jpg") == ObjectFacts(content_type="image/jpeg")
    odd = ObjectFacts(content_type="image/pjpeg", content_encoding="aws-chunked")
    assert odd.of_changed("a.jpg") == odd


def test_digests_of_the_old_content_become_those_of_the_new() -> None:
    facts = ObjectFacts(
        metadata=(("sha", hashlib.sha256(b"old").hexdigest().upper()), ("by", "me"))
    )
    renewed = facts.with_digests(b"old", b"new")
    assert facts.may_hold_digests and not ObjectFacts(metadata=(("by", "me"),)).may_hold_digests
    assert dict(renewed.metadata) == {
        "sha": hashlib.sha256(b"new").hexdigest().upper(),
        "by": "me",
    }
