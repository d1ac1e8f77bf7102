"""Begins a deployment's run again after an odd end, as `flows.supervisor` does for a command.

Ray's library ends the process that uses it where a helper of Ray does not answer, the last resort
against a Ray that stands still does the same, and native code aborts. A worker that is killed takes
with it the pipe that its runs write to, and rich ends a process that writes to such a pipe. Prefect
calls all these runs crashed. A run whose Ray stood still in good order has failed with a
StalledError. For all of them this module makes a new run of the same deployment with the same
parameters, which goes on where the old one ended. How many times that was done stands in a tag of
the run ('go-2'), so it ends.

What somebody stopped is not begun again, and neither is what the user got wrong.

Costs: two requests to the server, in the process that saw the end: the runner's or worker's after a
crash, the run's own after a failure.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Scheduled

from demoire.errors import STALLED_STATUS, StalledError
from flows.supervisor import ENDED_BY_A_LIBRARY, MOST_GOES

_PAUSE = timedelta(seconds=30)  # in which Ray's processes end, and the run's slot is given back
_TAG = "go-"
# How Prefect tells of a process's exit status in the message of a crashed state.
_STATUS = re.compile(r"status code:? (-?\d+)")
# How it tells of a run that a SystemExit ended, which none of our own does.
_EXIT = "Python system exit"


def begin_again_after_crash(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """For `on_crashed`: begin again if the process ended oddly."""
    message = state.message or ""
    if _EXIT in message:
        _begin_again(flow_run)
        return
    status = _STATUS.search(message)
    if status is None:  # the run itself says so: a signal from outside ended it
        return
    code = int(status.group(1))
    if code == STALLED_STATUS or code in ENDED_BY_A_LIBRARY:
        _begin_again(flow_run)


def begin_again_after_stall(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """For `on_failure`: begin again if the work stood still."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, StalledError):
        _begin_again(flow_run)


def _begin_again(run: FlowRun) -> None:
    """Make a new run of the same deployment, unless this one was the last that may be."""
    if run.deployment_id is None:
        return
    go = _go_of(run.tags) + 1
    if go > MOST_GOES:
        return
    tags = [tag for tag in run.tags if not tag.startswith(_TAG)]
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters,
            state=Scheduled(scheduled_time=datetime.now(UTC) + _PAUSE),
            tags=[*tags, f"{_TAG}{go}"],
            idempotency_key=f"{run.id}-again",
        )


def _go_of(tags: Iterable[str]) -> int:
    """Which go a run of these tags is, from 1."""
    for tag in tags:
        number = tag.removeprefix(_TAG)
        if number != tag and number.isdecimal():
            return int(number)
    return 1
