"""A helper process of Ray that dies or stands still does not hold the night."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.job import CleanJob
from tests.pipelines.conftest import tree
from tests.pipelines.hooked_driver import hooked_environment, wait_for
from tests.pipelines.job_box import Finished, assert_same_reports

pytestmark = pytest.mark.slow

# Minutes. A failed helper is seen without them. The test waits out the shorter ones: within them a
# fresh Ray has to come to its first image, or the work is begun once more.
LONG = 30.0
SHORT = 0.75


@contextmanager
def command(
    job: CleanJob, folder: Path, what_happens: str, patience: float
) -> Iterator[subprocess.Popen[bytes]]:
    """`demoire clean` of a job, with what is given at each image; killed at the block's end."""
    environment = hooked_environment(folder, what_happens)
    config = job.config
    words = ["clean", job.src, job.dst, "--workers", "1", "--stall-minutes", str(patience)]
    words += ["--detector", config.detector, "--restorer", config.restorer]
    words += ["--threshold", str(config.threshold), "--max-side", str(config.max_side)]
    words += ["--max-megapixels", str(config.max_megapixels)]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        started = []
        if process.poll() is None:
            started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for survivor in started:
            survivor.kill()
        psutil.wait_procs(started)


def ray_process(driver_id: int, name: str) -> psutil.Process:
    """The process of a driver's Ray that is called so; "worker": one that cleans."""
    for process in psutil.Process(driver_id).children(recursive=True):
        if name == "worker" and "CleaningActor" in " ".join(process.cmdline()):
            return process
        if process.name() == name:
            return process
    raise AssertionError(f"there is no {name}")


@pytest.mark.parametrize(
    ("name", "number", "patience"),
    [
        ("raylet", signal.SIGKILL, LONG),
        ("gcs_server", signal.SIGSTOP, LONG),
        ("worker", signal.SIGSTOP, SHORT),
    ],
)
def test_a_process_of_ray_that_dies_or_stands_still_costs_minutes_and_nothing_else(
    finished: Finished, tmp_path: Path, name: str, number: signal.Signals, patience: float
) -> None:
    job = replace(finished.job, dst=str(tmp_path / "out"))
    commits = tmp_path / "out" / "_demoire" / "commits"
    reached = tmp_path / "reached"
    go_on = tmp_path / "go on"
    is_any_committed = f"list(Path({str(commits)!r}).glob('*.json'))"
    wait = f"while not Path({str(go_on)!r}).exists(): time.sleep(0.1)"
    hold = f"if {is_any_committed}:\n            Path({str(reached)!r}).touch()\n            {wait}"
    with command(job, tmp_path / "hook", hold, patience) as process:
        wait_for(reached, process)
        ray_process(process.pid, name).send_signal(number)
        begin = time.monotonic()
        go_on.touch()
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said.decode()
    print(f"{name} {number.name}: {time.monotonic() - begin:.0f} s, {said.decode()}")
    assert tree(tmp_path / "out") == tree(finished.dst)
    assert_same_reports(tmp_path / "out", finished.dst)
