"""A bucket's mirror keeps what the store knows of each object, cleaned or not."""

import hashlib
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from demoire.cleaning.cleaner import Cleaner
from pipelines.storage.open import open_place
from tests.pipelines.conftest import draw, half_moire, write_tar
from tests.pipelines.publish.job import Job, cleaned_job
from tests.s3_server import s3_variables, serve_moto

STRIPED = draw(True, 30)
PLAIN = draw(False, 31)
HEADERS = {
    "CacheControl": "max-age=86400",
    "ContentDisposition": "inline",
    "ContentLanguage": "fr",
    "Metadata": {"shelf": "b 7"},
    "Tagging": "rights=open",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serve_moto() as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket whose server keeps headers, metadata and tags."""
    for name, value in s3_variables(endpoint, "key", "secret").items():
        monkeypatch.setenv(name, value)
    name = f"box-{time.monotonic_ns()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def _published(src: str, dst: str, cleaner: Cleaner) -> Job:
    job = cleaned_job(cast(Path, src), cast(Path, dst), cleaner)
    job.publish_all()
    job.prove()
    return job


def _kept(bucket: str, key: str) -> dict[str, Any]:
    client = boto3.client("s3")
    head = client.head_object(Bucket=bucket, Key=key)
    tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    kept = {name: head.get(name) for name in HEADERS if name != "Tagging"}
    kept["Tagging"] = "&".join(f"{tag['Key']}={tag['Value']}" for tag in tags)
    return kept | {"ContentType": head["ContentType"], "StorageClass": head.get("StorageClass")}


def test_cleaned_and_copied_objects_keep_their_headers_metadata_and_tags(
    bucket: str, cleaner: Cleaner
) -> None:
    client = boto3.client("s3")
    for key, data in (
        ("in/striped.jpg", STRIPED),
        ("in/plain.jpg", PLAIN),
        ("in/a.svg", b"<svg/>"),
    ):
        client.put_object(Bucket=bucket, Key=key, Body=data, StorageClass="STANDARD_IA", **HEADERS)
    _published(f"s3://{bucket}/in", f"s3://{bucket}/out", cleaner)
    assert client.get_object(Bucket=bucket, Key="out/striped.jpg")["Body"].read() != STRIPED
    assert client.get_object(Bucket=bucket, Key="out/plain.jpg")["Body"].read() == PLAIN
    as_came = HEADERS | {"ContentType": "binary/octet-stream", "StorageClass": None}
    assert _kept(bucket, "out/plain.jpg") == as_came
    assert _kept(bucket, "out/a.svg") == as_came
    assert _kept(bucket, "out/striped.jpg") == as_came | {"ContentType": "image/jpeg"}


def test_digests_in_metadata_become_those_of_the_cleaned_image(
    bucket: str, cleaner: Cleaner
) -> None:
    client = boto3.client("s3")

    def metadata(data: bytes) -> dict[str, str]:
        md5 = hashlib.md5(data).digest()
        return {"md5chksum": b64encode(md5).decode(), "s3cmd-attrs": f"md5:{md5.hex()}/uid:0"}

    for key, data in (("in/striped.jpg", STRIPED), ("in/plain.jpg", PLAIN)):
        client.put_object(Bucket=bucket, Key=key, Body=data, Metadata=metadata(data))
    _published(f"s3://{bucket}/in", f"s3://{bucket}/out", cleaner)
    for key in ("out/striped.jpg", "out/plain.jpg"):
        answer = client.get_object(Bucket=bucket, Key=key)
        assert answer["Metadata"] == metadata(answer["Body"].read())


def test_archives_keep_theirs_too(bucket: str, cleaner: Cleaner, tmp_path: Path) -> None:
    client = boto3.client("s3")
    for name, images in (("changed.tar", half_moire(2)), ("same.tar", {"plain.jpg": PLAIN})):
        data = write_tar(tmp_path / name, images).read_bytes()
        options = HEADERS | {"ContentType": "application/x-odd"}
        client.put_object(Bucket=bucket, Key=f"in/{name}", Body=data, **options)
    _published(f"s3://{bucket}/in", f"s3://{bucket}/out", cleaner)
    expected = HEADERS | {"ContentType": "application/x-odd", "StorageClass": None}
    assert _kept(bucket, "out/changed.tar") == expected
    assert _kept(bucket, "out/same.tar") == expected


def test_a_disk_is_cleaned_into_a_bucket_and_back(
    bucket: str, cleaner: Cleaner, tmp_path: Path
) -> None:
    box = open_place(str(tmp_path / "box"))
    for name, data in (("a.jpg", STRIPED), ("b.tif", b"no picture"), ("odd", b"?")):
        box.write(name, data)
    _published(str(tmp_path / "box"), f"s3://{bucket}/out", cleaner)
    assert _kept(bucket, "out/a.jpg")["ContentType"] == "image/jpeg"
    assert _kept(bucket, "out/b.tif")["ContentType"] == "image/tiff"
    client = boto3.client("s3")
    bookkeeping = client.list_objects_v2(Bucket=bucket, Prefix="out/_demoire/")["Contents"]
    types = {item["Key"].rpartition(".")[2] for item in bookkeeping}
    assert {"json", "parquet"} <= types
    for item in bookkeeping:
        expected = {
            "json": "application/json",
            "parquet": "application/vnd.apache.parquet",
        }.get(item["Key"].rpartition(".")[2])
        if expected is not None:
            assert _kept(bucket, item["Key"])["ContentType"] == expected
    _published(f"s3://{bucket}/out/*", str(tmp_path / "back"), cleaner)
    assert (tmp_path / "back" / "odd").read_bytes() == b"?"
    assert (tmp_path / "back" / "b.tif").read_bytes() == b"no picture"
