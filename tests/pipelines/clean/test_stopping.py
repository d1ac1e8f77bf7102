"""A run that is asked to stop finishes what is in work first, and is asked once or twice."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from demoire.errors import StoppedError, StorageError
from pipelines.clean.stopping import OrderlyStop


@contextmanager
def draining(done: threading.Event) -> Iterator[None]:
    """A run that is in the midst of work which ends with this event."""
    stop = OrderlyStop()
    with stop.listening(), stop.draining(lambda: wait_for(done)):
        yield


def ask() -> None:
    signal.raise_signal(signal.SIGTERM)


def wait_for(done: threading.Event) -> None:
    done.wait(30)


def test_one_request_that_comes_by_two_ways_is_one() -> None:
    done = threading.Event()
    with pytest.raises(StoppedError), draining(done):
        ask()
        ask()
        done.set()  # reached: neither of them has ended the work
        time.sleep(30)


def test_who_asks_is_told_what_the_run_still_waits_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done = threading.Event()
    with pytest.raises(StoppedError), draining(done):
        ask()
        done.set()
        time.sleep(30)
    assert "units in progress are finished first" in caplog.text


def test_a_second_request_ends_the_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    with pytest.raises(StoppedError), draining(done):
        ask()
        a_second_later = time.monotonic() + 1
        monkeypatch.setattr("time.monotonic", lambda: a_second_later)
        ask()
        pytest.fail("it goes on")
    done.set()


def test_where_nothing_is_in_work_the_first_request_ends_the_run() -> None:
    with pytest.raises(StoppedError), OrderlyStop().listening():
        ask()


def test_what_catches_the_errors_of_a_library_does_not_catch_a_request() -> None:
    """As a store does, which makes one sentence of whatever its library raises."""
    with pytest.raises(StoppedError), OrderlyStop().listening():
        try:
            ask()
        except Exception as error:
            raise StorageError("The store was away.") from error
