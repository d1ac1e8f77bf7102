"""A Ray that does not come up on this machine, and what is left of one that did."""

import logging
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


class Started:
    """What Ray says of itself when it has come up."""

    def __init__(self, folder: Path) -> None:
        self.address_info = {"session_dir": str(folder)}


@pytest.mark.parametrize(("level", "kept"), [(logging.WARNING, False), (logging.DEBUG, True)])
def test_the_folder_of_an_own_ray_goes_with_it_unless_somebody_debugs(
    level: int,
    kept: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "session_1"
    (folder / "logs").mkdir(parents=True)
    (tmp_path / "session_latest").symlink_to(folder)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: Started(folder))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    caplog.set_level(level, "pipelines")

    with ray_session(None, 60.0):
        (folder / "logs" / "raylet.out").touch()

    left = {path.name for path in tmp_path.iterdir()}
    assert left == ({"session_1", "session_latest"} if kept else set())
