"""A bucket for the tests of sources."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3_server import s3_variables, serve_s3


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bucket's folder, seen as s3://box while the environment points there."""
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "box").mkdir()
    with serve_s3(folder, "a-key", "a-secret") as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_variables(endpoint, "a-key", "a-secret").items():
            patch.setenv(name, value)
        yield folder / "box"
