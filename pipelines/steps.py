"""The seam between a job and a scheduler: a job wraps every one of its steps before it calls it.

The command line runs the steps plainly; the Prefect flow makes a task of each. A wrapper changes
neither what a step takes nor what it gives.
"""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Step(Protocol):
    """Wraps a step, so that whoever runs the job can schedule, retry and show it."""

    def __call__(self, function: Callable[Parameters, Result], /) -> Callable[Parameters, Result]:
        """The same step, wrapped."""


def plainly(function: Callable[Parameters, Result], /) -> Callable[Parameters, Result]:
    """Run a step as it is: the wrapper of a job without a scheduler."""
    return function
