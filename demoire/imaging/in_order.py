"""Pieces of one picture worked on beside each other, for what only comes in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_MOST_AT_ONCE = 4

Piece = TypeVar("Piece")
Made = TypeVar("Made")


def made_in_order(make: Callable[[Piece], Made], pieces: Iterable[Piece]) -> Iterator[Made]:
    """What threads make of each piece, in the order of the pieces.

    Args:
        make: Called in several threads; it should leave the interpreter to others for most of its
            time.
        pieces: Taken a few ahead.
    """
    threads = min(_MOST_AT_ONCE, len(os.sched_getaffinity(0)))
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="demoire-piece") as pool:
        for piece in pieces:
            waiting.append(pool.submit(make, piece))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
