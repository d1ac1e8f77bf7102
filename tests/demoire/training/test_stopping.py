"""When a training stops by itself."""

import time

import pytest

from demoire.training.stopping import Deadline


class _Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    return _Clock(monkeypatch)


def test_without_minutes_nothing_stops(clock: _Clock) -> None:
    deadline = Deadline(None, clock.now)
    clock.wait(1e9)
    assert not deadline.is_near()


def test_it_stops_while_there_is_time_for_a_step_as_long_as_the_longest(clock: _Clock) -> None:
    deadline = Deadline(1, clock.now)
    clock.wait(25)  # workers start
    assert not deadline.is_near()
    clock.wait(10)  # a validation
    assert not deadline.is_near()
    clock.wait(14)
    assert deadline.is_near()  # 49 s are gone, and 14 more would be too many


def test_a_short_step_after_a_long_one_still_fits(clock: _Clock) -> None:
    deadline = Deadline(1, clock.now)
    clock.wait(25)
    assert not deadline.is_near()
    for wait in (10, 9, 5):
        clock.wait(wait)
        assert not deadline.is_near()
    clock.wait(2)
    assert deadline.is_near()


def test_reading_pictures_counts(clock: _Clock) -> None:
    deadline = Deadline(0.5, clock.now)
    clock.wait(31)
    assert deadline.is_near()
