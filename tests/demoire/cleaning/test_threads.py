"""Threads are a setting of the process: made by `use_threads`, and by no constructor."""

import os
from collections.abc import Callable, Iterator

import cv2
import pytest
import torch

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.threads import use_threads


@pytest.fixture(autouse=True)
def settings_put_back() -> Iterator[None]:
    torch_threads = torch.get_num_threads()
    opencv_threads = cv2.getNumThreads()
    yield
    torch.set_num_threads(torch_threads)
    cv2.setNumThreads(opencv_threads)


def test_torch_gets_the_threads_and_opencv_a_single_one() -> None:
    use_threads(3)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 1)


def test_by_default_there_is_one_on_each_core() -> None:
    use_threads()
    assert torch.get_num_threads() == len(os.sched_getaffinity(0))


def test_making_a_cleaner_leaves_the_process_alone(make_cleaner: Callable[..., Cleaner]) -> None:
    torch.set_num_threads(3)
    cv2.setNumThreads(2)
    make_cleaner(threads=1)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 2)
