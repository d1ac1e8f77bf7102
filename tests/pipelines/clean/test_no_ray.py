"""A Ray that does not come up on this machine."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import ray

from demoire.errors import DemoireError
from pipelines.clean.cluster import ray_session

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "says", "status"),
    [(4096, "the temporary folder {} is full", 2), (1 << 40, "overloaded or short of memory", 3)],
)
def test_the_sentence_names_a_full_temporary_folder(
    free: int, says: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself only says that it waited in vain for a file of its own."""

    def wait_in_vain(**_: object) -> None:
        raise RuntimeError("Timed out waiting for file gcs_server_port")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", wait_in_vain)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, free))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))

    with pytest.raises(DemoireError) as caught, ray_session(None, 60.0):
        pass

    assert says.format(tmp_path) in str(caught.value)
    assert caught.value.exit_code == status
