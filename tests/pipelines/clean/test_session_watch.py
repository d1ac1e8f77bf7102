"""What is seen of a Ray whose helpers die or stand still, with stand-ins for these."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demoire.errors import StalledError
from pipelines.clean import watchdog
from pipelines.clean.gate import GateCount
from pipelines.clean.nodes import Node
from pipelines.clean.own_ray import OwnRay
from pipelines.clean.watchdog import NodesLostError, WatchedRows
from pipelines.publish import parallel

ROOT = Path(__file__).parents[3]

# A process that waits in native code for ever, with a stand-in for a helper of Ray.
HANGS = """
import os, signal, subprocess, sys, threading
from pipelines.clean.own_ray import OwnRay
from pipelines.clean import session_watch

helper = subprocess.Popen([sys.argv[1], "600"])
print(helper.pid, flush=True)
ray = OwnRay()
ray.note_start()
session_watch._LOOK_AGAIN = 0.05
session_watch._GRACE = 0.2
with session_watch.SessionWatch(ray):
    os.kill(helper.pid, signal.{number})
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # nobody gives it
"""


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is called as Ray's GCS is."""
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "gcs_server")
    process = subprocess.Popen([program, "600"])
    yield process
    process.kill()
    process.wait()


def noted(helper: subprocess.Popen[bytes]) -> OwnRay:
    ray = OwnRay()
    ray.note_start()
    assert helper.poll() is None
    return ray


def settle(helper: subprocess.Popen[bytes], status: str) -> None:
    """Wait until the kernel shows the helper so."""
    while f"State:\t{status}" not in Path(f"/proc/{helper.pid}/status").read_text():
        time.sleep(0.01)


def test_a_helper_that_dies_is_seen_at_once(helper: subprocess.Popen[bytes]) -> None:
    ray = noted(helper)
    assert ray.look() is None and ray.failed_helper() is None
    helper.kill()
    settle(helper, "Z")
    assert ray.failed_helper() == "Ray's helper process gcs_server died"
    assert ray.look() == "Ray's helper process gcs_server died"


def test_a_helper_is_taken_for_stopped_when_it_is_seen_so_twice(
    helper: subprocess.Popen[bytes],
) -> None:
    ray = noted(helper)
    helper.send_signal(signal.SIGSTOP)
    settle(helper, "T")
    assert ray.look() is None
    assert ray.look() == "Ray's helper process gcs_server is stopped"
    assert ray.failed_helper() == "Ray's helper process gcs_server is stopped"
    helper.send_signal(signal.SIGCONT)
    settle(helper, "S")
    assert ray.look() is None


def test_a_helper_may_die_while_ray_is_shut_down(helper: subprocess.Popen[bytes]) -> None:
    ray = noted(helper)
    ray.note_shutdown()
    helper.kill()
    settle(helper, "Z")
    assert ray.look() is None and ray.failed_helper() is None


def test_a_stopped_helper_is_ended_by_force(helper: subprocess.Popen[bytes]) -> None:
    ray = noted(helper)
    helper.send_signal(signal.SIGSTOP)
    ray.end_by_force()
    assert not Path(f"/proc/{helper.pid}").exists()
    assert ray.failed_helper() is None


@pytest.mark.parametrize("number", ["SIGKILL", "SIGSTOP"])
def test_a_process_that_waits_for_a_failed_ray_ends_itself(tmp_path: Path, number: str) -> None:
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "raylet")
    script = HANGS.format(number=number)
    done = subprocess.run(
        [sys.executable, "-c", script, program], cwd=ROOT, capture_output=True, timeout=60
    )
    assert done.returncode == 75
    assert done.stderr.startswith(b"demoire: The work stood still and was ended (Ray's helper")
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_a_wave_in_which_nothing_is_finished_is_ended() -> None:
    forever = threading.Event()

    def rows() -> Iterator[dict[str, Any]]:
        yield {"unit": 1}
        forever.wait()

    gate: Any = object()  # it does not answer
    watched = iter(WatchedRows(rows, gate, patience=0.1))
    assert next(watched) == {"unit": 1}
    with pytest.raises(StalledError, match="no image was finished for 0.0016"):
        next(watched)
    forever.set()


def test_a_wave_that_waits_for_nodes_that_have_gone_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forever = threading.Event()
    looks = iter([["here", "gone"]])
    monkeypatch.setattr(watchdog, "_BETWEEN_QUESTIONS", 0.01)
    monkeypatch.setattr(watchdog, "_LOOK_AGAIN", 0.02)
    monkeypatch.setattr(watchdog, "_PATIENCE_WITH_LOST_NODES", 0.1)
    monkeypatch.setattr(
        watchdog,
        "living_nodes",
        lambda: [Node(name, cpus=1, gpus=0) for name in next(looks, ["here"])],
    )
    monkeypatch.setattr("ray.get", lambda answer, timeout: answer)

    def rows() -> Iterator[dict[str, Any]]:
        """As Ray Data's, which asks its callbacks again and again."""
        while not forever.wait(0.01):
            watchdog.EndIfGivenUp().on_execution_step(None)
        yield {}

    with pytest.raises(NodesLostError):
        gate: Any = GateStandIn("gone")
        next(iter(WatchedRows(rows, gate, patience=60)))
    looks = iter([["here", "gone"]])
    with pytest.raises(StalledError):  # one that is still there is at work
        gate = GateStandIn("here")
        next(iter(WatchedRows(rows, gate, patience=0.5)))
    forever.set()


class GateStandIn:
    """A gate that knows of units in hand on one node."""

    def __init__(self, node: str) -> None:
        self.node = node

    @property
    def count(self) -> "GateStandIn":
        return self

    def remote(self) -> GateCount:
        return GateCount(0, frozenset({self.node}))


# A process in which Ray does not come up, whose standard error is turned off meanwhile.
DOES_NOT_START = """
import os, threading
from pipelines.clean.own_ray import OwnRay
from pipelines.clean.session_watch import StartWatch

with StartWatch(OwnRay(), patience=0.1):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # nobody gives it
"""


def test_a_ray_that_does_not_come_up_ends_the_process_with_one_sentence() -> None:
    command = [sys.executable, "-c", DOES_NOT_START]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 75
    assert ended.stderr.startswith("demoire: The work stood still and was ended (Ray did not come")
    assert ended.stderr.count("\n") == 1


def test_publishing_without_progress_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel.ray, "wait", lambda tasks, **_: ([], tasks))
    task: Any = "a task that never ends"
    with pytest.raises(StalledError, match="no archive or folder was published for 0 minutes"):
        parallel.first_finished([task], patience=0.0)


def test_publishing_ends_where_a_helper_of_ray_is_dead(
    helper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = noted(helper)
    helper.kill()
    helper.wait()
    monkeypatch.setattr(parallel, "own_ray", watched)
    monkeypatch.setattr(parallel.ray, "wait", lambda tasks, **_: ([], tasks))
    task: Any = "a task that never ends"
    with pytest.raises(StalledError, match="helper process gcs_server died"):
        parallel.first_finished([task], patience=600.0)
