"""Pictures beside each other on a CPU: which are restored with how many threads, and when."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from demoire.cleaning import model_turns, scheduler
from demoire.cleaning.batches import Batch
from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.engine import Engine
from demoire.cleaning.image_job import BeingJudgedAgain
from demoire.cleaning.model_run import ModelResult, run_batch
from demoire.memory import MemoryLimit
from tests.demoire.cleaning.pictures import area, png

GB = 10**9


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def red(scene: Callable[..., NDArray[np.uint8]]) -> bytes:
    return png(scene(300, 400, red=area(300, 400, 0, 0, 300, 400)))


class Watched(nn.Module):
    """Notes of each window how many threads it was restored with, and how many were at it.

    The windows wait until all pictures of the run are read, so that each of them has others beside
    it, however slow the machine is.
    """

    multiple, halo = 32, 64

    def __init__(self, seconds: float = 0.05) -> None:
        super().__init__()
        self.seconds = seconds
        self.all_read = threading.Event()
        self.threads: list[int] = []
        self.at_once = 0
        self._at_work: set[int] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.threads.append(torch.get_num_threads())
        self._at_work.add(threading.get_ident())
        self.at_once = max(self.at_once, len(self._at_work))
        assert self.all_read.wait(60)
        time.sleep(self.seconds)
        self._at_work.remove(threading.get_ident())
        return x * 0.9


def cleaned(
    cleaner: Cleaner, picture: bytes, count: int, restorer: Watched | None = None
) -> set[bytes]:
    def pictures() -> Iterator[tuple[int, bytes]]:
        for number in range(count):
            yield number, picture
        if restorer is not None:
            restorer.all_read.set()

    results = list(cleaner.clean_many(pictures()))
    assert [result.status for _, result in results] == ["cleaned"] * count
    return {result.data for _, result in results}


def test_two_pictures_are_restored_beside_each_other_with_one_thread_each(
    make_cleaner: Callable[..., Cleaner], red: bytes
) -> None:
    restorer = Watched(seconds=0.4)
    cleaner = make_cleaner(restorer)
    (together,) = cleaned(cleaner, red, 4, restorer)
    assert (restorer.threads, restorer.at_once) == ([1, 1, 1, 1], 2)
    assert cleaner.clean(red).data == together


def test_a_picture_that_is_alone_has_all_threads(
    make_cleaner: Callable[..., Cleaner], red: bytes
) -> None:
    restorer = Watched()
    cleaned(make_cleaner(restorer), red, 1, restorer)
    assert restorer.threads == [2]


def test_the_odd_picture_at_the_end_waits_for_all_threads(
    make_cleaner: Callable[..., Cleaner], red: bytes
) -> None:
    restorer = Watched(seconds=0.4)
    cleaned(make_cleaner(restorer), red, 3, restorer)
    assert restorer.threads == [1, 1, 2]


def test_where_memory_is_scarce_one_window_at_a_time_has_all_threads(
    make_cleaner: Callable[..., Cleaner], red: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce = MemoryLimit(2 * GB, None, "machine")
    monkeypatch.setattr(scheduler, "memory_limit", lambda: scarce)
    restorer = Watched()
    cleaned(make_cleaner(restorer), red, 3, restorer)
    assert (restorer.threads, restorer.at_once) == ([2, 2, 2], 1)


def test_few_cells_wait_for_more_while_windows_are_restored(
    make_cleaner: Callable[..., Cleaner], red: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_again: list[int] = []

    def run_noted(engine: Engine, batch: Batch[int]) -> list[ModelResult[int]]:
        states = [task.job.state for task in batch.tasks]
        again = [state for state in states if isinstance(state, BeingJudgedAgain)]
        if again:
            seen_again.append(len(again))
        return run_batch(engine, batch)

    monkeypatch.setattr(model_turns, "run_batch", run_noted)
    torch.set_num_threads(1)  # a single lane: restored pictures come one by one
    restorer = Watched(seconds=0.2)
    cleaned(make_cleaner(restorer), red, 6, restorer)
    cells = sum(seen_again) // 6  # of one picture
    assert max(seen_again) > cells


def test_threads_that_are_born_later_have_what_the_process_was_given(
    make_cleaner: Callable[..., Cleaner], red: bytes
) -> None:
    cleaned(make_cleaner(), red, 2)
    numbers: list[int] = []
    born = threading.Thread(target=lambda: numbers.append(torch.get_num_threads()))
    born.start()
    born.join()
    assert [*numbers, torch.get_num_threads()] == [2, 2]


def test_an_error_beside_the_asking_thread_is_raised_there(
    make_cleaner: Callable[..., Cleaner], red: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("a mistake of ours")

    monkeypatch.setattr(model_turns, "run_batch", broken)
    with pytest.raises(AssertionError, match="a mistake of ours"):
        cleaned(make_cleaner(), red, 2)
