"""Workers start at the priority of the command, and work at a low one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.clean.priority import prompt_workers, working_niceness


def test_ray_starts_workers_at_once_and_they_step_back_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_worker_niceness", raising=False)
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    with prompt_workers():
        assert os.environ["RAY_worker_niceness"] == "0"  # noqa: SIM112
        assert os.environ["MALLOC_ARENA_MAX"] == "1"
    assert "MALLOC_ARENA_MAX" not in os.environ
    assert working_niceness() == 15


def test_what_the_user_says_of_the_priority_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "3")
    with prompt_workers():
        assert os.environ["RAY_worker_niceness"] == "3"  # noqa: SIM112
    assert working_niceness() == 3


def page_faults_of_20_mb() -> int:
    """How many pages a new process with this environment gets for a block that it writes to."""
    program = """
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block = b"x" * (20 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return int(done.stdout)


def has_large_pages_for_whoever_asks() -> bool:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.exists() and "[madvise]" in setting.read_text()


@pytest.mark.skipif(not has_large_pages_for_whoever_asks(), reason="asking makes no difference")
def test_workers_get_their_memory_in_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert page_faults_of_20_mb() > 4_000
    with prompt_workers():
        assert page_faults_of_20_mb() < 1_000


def test_all_threads_of_a_process_step_back_and_none_steps_forward() -> None:
    """In a process of its own: there is no way back without privileges."""
    program = """
import os, threading
from pipelines.clean.priority import step_back
go, seen = threading.Event(), []
def look():
    go.wait()
    seen.append(os.nice(0))
before = threading.Thread(target=look)
before.start()
step_back(17)
step_back(5)
go.set()
after = threading.Thread(target=look)
after.start()
before.join(); after.join()
print(os.nice(0), *seen)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"17", b"17", b"17"]
