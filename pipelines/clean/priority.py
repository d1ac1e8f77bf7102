"""What workers start with: the priority of the command, a single heap, and large pages of memory.

While they work they have a low priority.

Ray starts its workers at niceness 15, so that they leave the machine to whoever sits at it. A busy
machine then starves them before they have done anything: their start takes 2.6 s of a core, for
imports and weights, which came to 13 s at load 3, to 33 s at load 6, and to 4 s at load 8 at the
command's own priority. So the Ray of this machine starts them at that, and an actor steps back
once its networks are loaded. Whoever sets `RAY_worker_niceness` in the environment keeps the last
word on both.

A heap for all threads of a process is what `demoire.cleaning.freed_memory` is after, but a worker
has threads of Ray's, with heaps of their own, before that can be said in it. And glibc can be told
only at a process's start to ask for pages of 2 MB for its heap, where the system gives them to
whoever asks. The networks walk through hundreds of megabytes for each window, and take 5 % less of
a core's time in such pages than in those of 4 KB. On a cluster both are the nodes' own matter, as
our image has them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_VARIABLE = "RAY_worker_niceness"
_AT_START = {
    _VARIABLE: "0",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
_WHILE_WORKING = 15


@contextmanager
def prompt_workers() -> Iterator[None]:
    """A Ray that is started in this block starts its workers at this process's priority, with one
    heap each, in large pages. What the environment says already is kept.
    """
    ours = {name: value for name, value in _AT_START.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


def working_niceness() -> int:
    """The niceness of this machine's workers while they clean."""
    return int(os.environ.get(_VARIABLE, _WHILE_WORKING))


def step_back(niceness: int) -> None:
    """Give all threads of this process at least this niceness; threads to come inherit it."""
    for task in Path("/proc/self/task").iterdir():
        thread = int(task.name)
        with suppress(ProcessLookupError):  # it ended meanwhile
            current = os.getpriority(os.PRIO_PROCESS, thread)
            if current < niceness:
                os.setpriority(os.PRIO_PROCESS, thread, niceness)
