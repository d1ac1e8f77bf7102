"""Processes are killed at random while a collection is cleaned, until the planned number of them is
dead.

    driver    the `demoire clean` process itself; the same command is started again
    worker    one of Ray's processes that fetches, publishes or waits
    actor     the one that cleans, while a unit is in its hands
    raylet    of the second node of a cluster; a new node takes its place
    prefect   the Prefect server under a flow; it is started again, and so is the flow if it gave up

After some of them the run is left in peace, or started again until it has an end, and what it has
published is compared with what an undisturbed run has.
"""

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from tests.chaos.collection import (
    Published,
    end_with_all,
    family,
    fresh,
    published,
    start_clean,
    title,
)
from tests.chaos.odd_sources import put_theirs
from tests.s3_server import free_port

KINDS = ("driver", "worker", "actor", "raylet", "prefect")
_KILLS_A_RUN = 5
_PATIENCE = 300.0  # seconds that a run may do nothing before it is taken for stuck


@dataclass
class Campaign:
    """What was done to runs, and what became of them."""

    injected: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    mirrors_equal: int = 0  # runs
    reports_equal: int = 0
    stuck: int = 0  # runs that had to be ended because nothing moved

    def judge(self, found: Published, expected: Published) -> None:
        self.runs += 1
        self.lost += found.lost(expected)
        self.doubled += found.doubled
        self.mirrors_equal += found.mirrors == expected.mirrors
        self.reports_equal += found.report == expected.report

    @property
    def proved(self) -> bool:
        return (
            not self.lost + self.doubled and self.runs == self.mirrors_equal == self.reports_equal
        )


def kinds_by_run(kills: int) -> list[tuple[str, ...]]:
    """What dies in each run of a campaign of so many kills: one kind, several times."""
    runs = []
    for number in range(-(-kills // _KILLS_A_RUN)):
        kind = KINDS[number % len(KINDS)]
        runs.append((kind,) * min(_KILLS_A_RUN, kills - number * _KILLS_A_RUN))
    return runs


def kill_campaign(
    box: Path,
    expected: Published,
    config: Path,
    work: Path,
    runs: Iterable[tuple[str, ...]],
    seed: int,
) -> Campaign:
    """Runs over the box.

    Args:
        box: What is cleaned.
        expected: What an undisturbed run publishes.
        config: For --config.
        work: A folder for what the runs leave.
        runs: The kinds of process that die in each run, in their order; they share the
            surroundings of the first. What a run is over too soon for dies in one more run.
        seed: Of the moments.
    """
    rng, campaign = random.Random(seed), Campaign()
    waiting = deque(runs)
    while waiting:
        kinds = waiting.popleft()
        dst, log = fresh(work / "out"), work / f"run-{campaign.runs}-{kinds[0]}.log"
        put_theirs(dst)
        with _surroundings(kinds[0], work) as around:
            left = _Run(box, dst, config, log, around, rng, campaign).to_the_end(kinds)
        if left:
            waiting.append(left)
        campaign.judge(published(dst), expected)
        so_far = f"{dict(campaign.injected)}, proved so far: {campaign.proved}"
        print(f"run {campaign.runs} ({', '.join(kinds)}): {so_far}", flush=True)
    return campaign


class _Surroundings:
    """What a kind of run needs besides its driver."""

    options: tuple[str, ...] = ("--workers", "1")
    environment: dict[str, str] = {}

    def kill(self) -> None:
        """Kill what of it is to die."""

    def replace(self) -> None:
        """Make good what was killed."""

    def end(self) -> None:
        """Leave nothing running."""


class _Nodes(_Surroundings):
    """A cluster of two nodes of one CPU; the second one dies."""

    def __init__(self) -> None:
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self._second = self._cluster.add_node(num_cpus=1)
        self.options = ("--ray-address", self._cluster.address, "--workers", "2")

    def kill(self) -> None:
        self._second.all_processes["raylet"][0].process.kill()

    def replace(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(num_cpus=1)

    def end(self) -> None:
        self._cluster.shutdown()


class _PrefectServer(_Surroundings):
    def __init__(self, home: Path) -> None:
        self._port = free_port()
        url = f"http://127.0.0.1:{self._port}/api"
        self.options = ("--prefect", "--workers", "1")
        self.environment = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": url,
            "PREFECT_CLIENT_MAX_RETRIES": "2",
        }
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(self._port)]
        environment = {**os.environ, "PREFECT_HOME": self.environment["PREFECT_HOME"]}
        quiet = subprocess.DEVNULL
        self._server = subprocess.Popen(
            command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
        )
        end = time.monotonic() + _PATIENCE
        while not _answers(self.environment["PREFECT_API_URL"]):
            assert self._server.poll() is None and time.monotonic() < end, (
                "the Prefect server does not start"
            )
            time.sleep(0.5)

    def kill(self) -> None:
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def replace(self) -> None:
        self._start()

    def end(self) -> None:
        self.kill()


def _answers(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _surroundings(kind: str, work: Path) -> Iterator[_Surroundings]:
    around = _Surroundings()
    if kind == "raylet":
        around = _Nodes()
    elif kind == "prefect":
        around = _PrefectServer(fresh(work / "prefect"))
    try:
        yield around
    finally:
        around.end()


class _Run:
    """One run of a collection, however many processes it takes."""

    def __init__(
        self,
        box: Path,
        dst: Path,
        config: Path,
        log: Path,
        around: _Surroundings,
        rng: random.Random,
        campaign: Campaign,
    ) -> None:
        self._around = around
        self._rng = rng
        self._campaign = campaign
        self._ledger = dst / "_demoire"
        self._command = (str(box), str(dst), config, log, "--merge", *around.options)
        self._driver = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return start_clean(*self._command, environment=self._around.environment)

    def to_the_end(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Kill one process of each kind as long as there is work, then see that the run comes to
        its end; the kinds that are left.
        """
        left = kinds
        while left and self._wait_for_work():
            time.sleep(self._rng.uniform(0, 1.5))
            if self._kill(left[0]):
                self._campaign.injected[left[0]] += 1
                self._recover(left[0])
                left = left[1:]
        while (status := self._wait()) != 0:
            print(f"  ended with status {status}, started again", flush=True)
            self._driver = self._start()
        return left

    def _wait_for_work(self) -> bool:
        """Wait until a unit is in work; False where the run is over first."""
        end = time.monotonic() + _PATIENCE
        while (status := self._driver.poll()) != 0:
            if status is not None or time.monotonic() > end:
                self._again()
                end = time.monotonic() + _PATIENCE
            elif self._units_in_work():
                return True
            time.sleep(0.05)
        return False

    def _units_in_work(self) -> int:
        done = self._noted("commits") | self._noted("bundles")
        return len(self._noted("attempts") - done)

    def _noted(self, folder: str) -> set[str]:
        """The ids of units and bundles that a folder of the ledger names."""
        return {path.name.partition(".")[0] for path in (self._ledger / folder).glob("*.json")}

    def _again(self) -> None:
        if self._driver.poll() is None:
            self._campaign.stuck += 1
            end_with_all(self._driver)
        self._driver = self._start()

    def _kill(self, kind: str) -> bool:
        """Kill one process of the kind, with everything it cannot tidy up; whether there was
        one.
        """
        if kind == "driver":
            if self._driver.poll() is not None:
                return False
            end_with_all(self._driver)
            return True
        if kind in ("raylet", "prefect"):
            self._around.kill()
            return True
        victim = self._worker(actor=kind == "actor")
        try:
            if victim is not None:
                victim.kill()
        except psutil.NoSuchProcess:
            return False
        return victim is not None

    def _worker(self, actor: bool) -> psutil.Process | None:
        workers = [p for p in family(self._driver) if title(p).startswith("ray::")]
        chosen = [p for p in workers if ("CleaningActor" in title(p)) == actor]
        return self._rng.choice(chosen) if chosen else None

    def _recover(self, kind: str) -> None:
        """Start again what has to be, and wait for a sign that something goes on: a unit begun or
        committed.
        """
        self._around.replace()
        if kind == "driver":
            self._driver = self._start()
        before, end = self._signs(), time.monotonic() + _PATIENCE
        while self._signs() == before and self._driver.poll() is None:
            if time.monotonic() > end:
                self._again()
                return
            time.sleep(0.1)

    def _signs(self) -> int:
        files = 0
        for folder in ("attempts", "commits", "bundles"):
            files += len(list((self._ledger / folder).glob("*.json")))
        return files

    def _wait(self) -> int:
        try:
            return self._driver.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._campaign.stuck += 1
            end_with_all(self._driver)
            return -1
