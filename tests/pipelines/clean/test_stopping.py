"""A run that is asked to stop finishes what is in work first, and is asked once or twice."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from demoire.errors import StoppedError
from pipelines.clean.stopping import OrderlyStop


@pytest.fixture
def stop() -> Iterator[OrderlyStop]:
    stop = OrderlyStop()
    with stop.listening():
        yield stop


def ask() -> None:
    signal.raise_signal(signal.SIGTERM)


def wait_for(done: threading.Event) -> None:
    done.wait(30)


def test_one_request_that_comes_by_two_ways_is_one(stop: OrderlyStop) -> None:
    done = threading.Event()
    with pytest.raises(StoppedError), stop.draining(lambda: wait_for(done)):
        ask()
        ask()
        done.set()  # reached: neither of them has ended the work
        time.sleep(30)


def test_who_asks_is_told_what_the_run_still_waits_for(
    stop: OrderlyStop, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    with pytest.raises(StoppedError), stop.draining(lambda: wait_for(done)):
        ask()
        done.set()
        time.sleep(30)
    assert "units in progress are finished first" in caplog.text


def test_a_second_request_ends_the_work_at_once(
    stop: OrderlyStop, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    with pytest.raises(StoppedError), stop.draining(lambda: wait_for(done)):
        ask()
        a_second_later = time.monotonic() + 1
        monkeypatch.setattr("time.monotonic", lambda: a_second_later)
        ask()
        pytest.fail("it goes on")
    done.set()


def test_where_nothing_is_in_work_the_first_request_ends_the_run(stop: OrderlyStop) -> None:
    with pytest.raises(StoppedError):
        ask()
