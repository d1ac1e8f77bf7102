"""What the worker processes of a DataLoader have to know of the process that they were forked from.

They are forked, and not started anew, since they share its decoded scenes. So they inherit what it
has planned for its own end, too.
"""

import os
import sys
from multiprocessing.util import Finalize

from demoire.training.stopping import leave_signals_to_the_training

_LAST = -100  # below all that multiprocessing itself does at the end: its queues are emptied at -5


def begin_worker(worker: int) -> None:
    """Let a worker end without the hooks that its parent has for its own end.

    For a DataLoader's `worker_init_fn`. Prefect, for one, has threads that are to be drained when
    Python ends. A worker has the hook and not the threads, so the hook fails, and a worker that has
    done all its work ends with status 1: in the parent that is an error.
    """
    Finalize(None, _leave, exitpriority=_LAST)


def begin_training_worker(worker: int) -> None:
    """`begin_worker`, for a worker that its training ends and no signal."""
    leave_signals_to_the_training(worker)
    begin_worker(worker)


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
