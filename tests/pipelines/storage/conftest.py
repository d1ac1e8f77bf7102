"""Places of every kind for the tests: a disk, two S3 servers, and memory."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.storage.open import open_place
from pipelines.storage.place import Place
from tests.pipelines.storage.stores import KEY, SECRET, moto_bucket, point_at
from tests.s3_server import serve_moto, serve_s3


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


@pytest.fixture(params=["local", "rclone", "moto", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty place of each kind."""
    if request.param == "local":
        return open_place(str(tmp_path / "place"))
    if request.param == "rclone":
        return request.getfixturevalue("s3_bucket")
    if request.param == "memory":
        return open_place(f"memory://box/{time.monotonic_ns()}")
    return moto_bucket(request.getfixturevalue("moto"), monkeypatch)
