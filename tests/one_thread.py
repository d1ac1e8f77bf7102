"""Small networks on one thread of torch.

What is learned by so few numbers hangs on how many threads add them up, and several threads mostly
wait for one another: on a busy machine that takes many times as much of its cores.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """For the block torch computes on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
