"""Waves follow one another until all is committed; the next one is planned while one runs.

Here nobody cleans: a wave commits what it is given, or as much of it as the test says.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from demoire.errors import DemoireError
from pipelines import waves
from pipelines.clean.pool import Pool
from pipelines.clean.wave import WaveResult
from pipelines.job import CleanJob
from pipelines.launch import Launch
from pipelines.plan.wave_plan import WavePlan, plan_wave
from pipelines.records import Unit
from pipelines.rows import UnitAttempt
from pipelines.run import plan_units
from pipelines.sources.read import read_members
from tests.pipelines.conftest import write_tar
from tests.pipelines.destination.launcher import outcome_of

ARCHIVES = 9

Wave = Callable[[Launch, Sequence[Unit]], WaveResult]


class Run:
    """A run over nine archives of one picture, four to a wave."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.wave: Wave = commit_all
        self.done: list[list[str]] = []  # the archives of each wave
        self.planned_by: list[str] = []  # the thread that planned, each time
        self.actors = 1
        self.waits_for_plans = False  # a wave, for the plan of the next one
        self.was_planned = threading.Semaphore(0)

    def clean(self) -> None:
        plan_id = plan_units(self.launch)
        sources = self.launch.destination.manifests.load(plan_id).source_ids
        waves.clean_in_waves(self.launch, plan_id, sources)

    def open_archives(self) -> int:
        plan = self.launch.destination.manifests.latest()
        return plan.units - len(self.launch.destination.ledger.committed())


def commit_all(launch: Launch, units: Sequence[Unit]) -> WaveResult:
    ledger = launch.destination.ledger
    for unit in units:
        attempt = UnitAttempt(unit, ledger.start(unit), "config", "run")
        outcomes = []
        for member, data in read_members(unit.source, unit.members):
            assert isinstance(data, bytes)
            outcomes.append(outcome_of(member, data, attempt))
        ledger.commit(unit, attempt.number, outcomes)
    return WaveResult(units=len(units))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    for number in range(ARCHIVES):
        (tmp_path / "src").mkdir(exist_ok=True)
        write_tar(tmp_path / "src" / f"{number}.tar", {"1.jpg": b"nothing"})
    run = Run(Launch.of(CleanJob(str(tmp_path / "src"), str(tmp_path / "dst"))))

    def clean_wave(work: Sequence[Unit], *_: object, **__: object) -> WaveResult:
        if run.waits_for_plans:
            assert run.was_planned.acquire(timeout=30), "nobody plans while a wave runs"
        run.done.append([unit.source.path for unit in work])
        return run.wave(run.launch, work)

    def watched_plan_wave(*args: Any) -> WavePlan:
        planned = plan_wave(*args)
        run.planned_by.append(threading.current_thread().name)
        if threading.current_thread() is not threading.main_thread():
            run.was_planned.release()
        return planned

    for name, stand_in in {
        "WAVE_UNITS": 4,
        "_UNITS_AN_ACTOR": 1,
        "clean_wave": clean_wave,
        "plan_wave": watched_plan_wave,
        "ray_session": lambda *_: nullcontext(),
        "_find_pool": lambda _: Pool(run.actors, run.actors, 1.0, 0.0, 1, "cpu"),
    }.items():
        monkeypatch.setattr(waves, name, stand_in)
    yield run


def test_the_next_wave_is_planned_while_one_runs(run: Run) -> None:
    def wait_and_commit(launch: Launch, units: Sequence[Unit]) -> WaveResult:
        run.waits_for_plans = len(run.done) < 2
        return commit_all(launch, units)

    run.waits_for_plans = True
    run.wave = wait_and_commit
    run.clean()
    assert [len(wave) for wave in run.done] == [4, 4, 1]
    assert sorted(sum(run.done, [])) == [f"{number}.tar" for number in range(ARCHIVES)]
    # Before the first wave, during two, and once more to see that nothing is left.
    assert run.planned_by == ["MainThread", *2 * ["demoire-plan-ahead"], "MainThread"]


def test_a_wave_is_larger_where_there_are_many_actors(run: Run) -> None:
    run.actors = 100
    run.clean()
    assert [len(wave) for wave in run.done] == [4, 5]


def test_what_a_wave_leaves_without_a_word_is_found_in_the_end(run: Run) -> None:
    def lose_the_first(launch: Launch, units: Sequence[Unit]) -> WaveResult:
        return commit_all(launch, units[1:] if len(run.done) == 1 else units)

    run.wave = lose_the_first
    run.clean()
    assert [len(wave) for wave in run.done] == [4, 4, 2]
    assert run.done[-1] == ["0.tar", "8.tar"]
    assert run.open_archives() == 0


def test_after_a_death_the_next_wave_begins_with_what_was_lost(run: Run) -> None:
    def die_once(launch: Launch, units: Sequence[Unit]) -> WaveResult:
        if len(run.done) > 1:
            return commit_all(launch, units)
        commit_all(launch, units[:1])
        return WaveResult(units=1, death="a worker")

    run.wave = die_once
    run.clean()
    assert run.done[1] == ["1.tar", "2.tar", "3.tar", "4.tar"]
    assert run.open_archives() == 0


def test_waves_that_change_nothing_end_the_run(run: Run) -> None:
    run.wave = lambda launch, units: WaveResult()
    with pytest.raises(DemoireError, match="cannot be finished: their workers die"):
        run.clean()
    assert len(run.done) == 4


def test_a_plan_that_cannot_be_made_ahead_is_made_afterwards(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:

    def only_in_the_main_thread(*args: Any) -> WavePlan:
        if threading.current_thread() is not threading.main_thread():
            raise DemoireError("the store does not answer")
        return plan_wave(*args)

    monkeypatch.setattr(waves, "plan_wave", only_in_the_main_thread)
    run.clean()
    assert [len(wave) for wave in run.done] == [4, 4, 1]
