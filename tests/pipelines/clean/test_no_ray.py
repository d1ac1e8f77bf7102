"""A Ray that does not come up or cannot be reached, and what is left of one that did."""

import logging
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import ray

from demoire.errors import DemoireError, UsageError
from pipelines.clean.cluster import ray_session
from tests.pipelines.hooked_driver import hooked_environment

ROOT = Path(__file__).parents[3]

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


def test_a_ray_that_does_not_come_up_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[str] = []

    def come_up_the_third_time(*, address: str, **_: object) -> Started:
        started.append(address)
        if len(started) < 3:
            raise RuntimeError("The current node timed out during startup.")
        return Started(tmp_path)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", come_up_the_third_time)
    monkeypatch.setattr(ray, "shutdown", lambda: None)

    with ray_session(None, 60.0):
        assert started == 3 * ["local"]

    assert "started again (2 of 5)" in caplog.messages[0]
    assert "started again (3 of 5)" in caplog.messages[1]


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


def test_a_cluster_that_refuses_the_token_is_told_from_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray hands on the text of the refusal inside of another error."""

    def refuse(**_: object) -> None:
        refused = "InvalidAuthToken: Authentication token is missing or incorrect."
        try:
            raise RuntimeError(f"Failed to connect to GCS. Last connection error: {refused}")
        except RuntimeError as error:
            raise ConnectionError("Failed to connect to Ray cluster at auto") from error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)

    with pytest.raises(UsageError, match="token: set RAY_AUTH_MODE"), ray_session("auto", 60.0):
        pass


_ANY_RAY = """
from pipelines.clean.cluster import ray_session

with ray_session():
    print("it came up")
"""


@pytest.mark.slow
def test_a_ray_whose_helpers_are_too_slow_is_started_again(tmp_path: Path) -> None:
    """As on an overloaded machine: the raylet waits 15 s for the ports of its agents."""
    once = tmp_path / "once"
    hold = f"if not Path({str(once)!r}).exists():\n            Path({str(once)!r}).touch()"
    hold += "\n            time.sleep(60)"
    environment = hooked_environment(
        tmp_path / "hook", hold, at="ray._raylet.persist_port", process="dashboard/agent.py"
    )

    ended = subprocess.run(
        [sys.executable, "-c", _ANY_RAY], env=environment, capture_output=True, text=True
    )

    assert ended.stdout == "it came up\n"
    assert "Ray did not come up; it is started again (2 of 5)" in ended.stderr
    assert once.exists()


_WORKERS_DIE = """
import os
import ray
from pipelines.clean.cluster import ray_session

@ray.remote(max_retries=1)
def die():
    os._exit(1)

with ray_session():
    try:
        ray.get(die.remote())
    except ray.exceptions.WorkerCrashedError:
        print("it died twice")
"""


@pytest.mark.slow
def test_ray_prints_nothing_of_workers_that_died() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WORKERS_DIE], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert ended.stdout == "it died twice\n"
    assert ended.stderr == ""
