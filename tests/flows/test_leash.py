"""What a command starts ends with it, also where the command is killed."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from flows.leash import MARK, end_marked
from tests.s3_server import free_port

# Starts a process in a session of its own, says its id, and waits.
STARTS_ONE = """
import subprocess, sys, time
from flows.leash import leash_children
leash_children()
leash_children()
waits = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(waits, start_new_session=True)
print(child.pid, flush=True)
sys.stdin.read()
"""
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print(flush=True); time.sleep(600)"
)


def wait_until_gone(pid: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process on a leash, with a child of its own."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    process.kill()
    process.wait()


def child_of(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_a_child_ends_where_its_parent_is_killed(
    parent: subprocess.Popen[str], how: signal.Signals
) -> None:
    child = child_of(parent)
    assert is_running(child)

    # As whoever kills a service does: the whole group, of which the child is no part.
    os.killpg(parent.pid, how)

    wait_until_gone(child)


def test_a_child_ends_where_its_parent_comes_to_its_end(parent: subprocess.Popen[str]) -> None:
    child = child_of(parent)

    assert parent.stdin is not None
    parent.stdin.close()
    assert parent.wait(60) == 0

    wait_until_gone(child)


def test_a_child_that_ignores_the_signal_is_killed_and_others_are_left_alone() -> None:
    deaf = subprocess.Popen(
        [sys.executable, "-c", DEAF], env={**os.environ, MARK: "deaf"}, stdout=subprocess.PIPE
    )
    bystander = subprocess.Popen(
        [sys.executable, "-c", DEAF], env={**os.environ, MARK: "other"}, stdout=subprocess.PIPE
    )
    try:
        for process in (deaf, bystander):
            assert process.stdout is not None
            process.stdout.readline()

        end_marked("deaf", grace=0.5)

        assert deaf.wait(10) == -signal.SIGKILL
        assert bystander.poll() is None
    finally:
        for process in (deaf, bystander):
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_the_server_of_serve_ends_where_serve_is_killed(tmp_path: Path) -> None:
    often = {
        "name": "often",
        "entrypoint": "flows/clean_archive.py:clean_archive",
        "parameters": {"src": str(tmp_path / "src"), "dst": str(tmp_path / "dst")},
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": [often]}))
    port = free_port()
    words = ["serve", "--file", str(file), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    serving = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words],
        env={**environment, "PREFECT_HOME": str(tmp_path / "prefect")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 180
        while not answers(port):
            assert serving.poll() is None and time.monotonic() < deadline
            time.sleep(0.3)
        started = [process.pid for process in psutil.Process(serving.pid).children(recursive=True)]
        assert started
    finally:
        os.killpg(serving.pid, signal.SIGKILL)
        serving.wait()

    for pid in started:
        wait_until_gone(pid)
    assert not answers(port)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
