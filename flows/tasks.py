"""Makes each step of a job a Prefect task, shown and retried on its own.

`pipelines` hands over its steps as plain functions; here each gets retries and a name on the
server. Results are kept in memory and never pickled: they are small, and a task that is tried again
finds the work of its last try under DST.
"""

import functools
from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from demoire.errors import (
    ProofError,
    SourceChangedError,
    StalledError,
    StoppedError,
    UsageError,
)
from pipelines.steps import Parameters, Result

RETRIES = 2
RETRY_DELAYS: list[float] = [10, 60]  # seconds: a hiccup, then something that somebody restarts


def as_task(function: Callable[Parameters, Result], /) -> Callable[Parameters, Result]:
    """The function as a task of the same name, with retries and without stored results."""
    wrapped = task(
        name=function.__name__,
        retries=RETRIES,
        retry_delay_seconds=RETRY_DELAYS,
        retry_condition_fn=_worth_retrying,
        persist_result=False,
        cache_policy=NO_CACHE,
    )(function)

    @functools.wraps(function)
    def step(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return wrapped(*args, **kwargs)

    return step


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Whether another try may end better.

    What the user got wrong is as wrong a minute later, and a count that does not come out stays so.
    A Ray that stood still is gone, and this process cannot have another. All else may pass: a store
    that failed, the network, a machine.
    """
    try:
        state.result()
    except (UsageError, SourceChangedError, ProofError, StoppedError, StalledError):
        return False
    except Exception:
        return True
    return False
