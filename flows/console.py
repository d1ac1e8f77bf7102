"""What the commands show: tables and JSON on stdout, progress and remarks on stderr.

JSON goes to stdout alone, so that it can be piped. Where stderr is a terminal, long work shows a
bar. In a log it says a line now and then instead: the first after a minute, then less and less
often, so that short commands stay silent and a night's run does not fill the log.
"""

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import typer

from demoire.progress import Progress
from demoire.wording import duration, plain_figure

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_FILE_WIDTH = 110  # characters of a table where stdout is no terminal

# Seconds between two lines of progress in a log; each pause is twice as long as the one before.
_FIRST_PAUSE = 60.0
_LONGEST_PAUSE = 960.0

# Seconds over which a bar takes its rate. Images are counted by units, and one can take minutes.
_RATED_SECONDS = 600.0

# What the phases of a run are called while they are at work.
_PHASES = {
    "plan": "planning (sources)",
    "wait": "waiting for a node to come (seconds)",
    "clean": "cleaning (images)",
    "publish": "publishing (sources)",
}


def emit_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON document on stdout.

    Args:
        value: Dataclasses become objects; what JSON lacks (NaN, infinity) becomes null.
        indent: Spaces for each level; None: all on one line.
    """
    typer.echo(json.dumps(_plain(value), indent=indent, allow_nan=False, default=str))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def remark(sentence: str) -> None:
    """A remark for the person at the terminal, apart from the command's output."""
    typer.echo(f"demoire: {sentence}", err=True)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on stdout: the first column to the left, the rest, being figures, to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    first, *rest = columns
    table.add_column(first, justify="left", overflow="fold")
    for column in rest:
        table.add_column(column, justify="right", overflow="fold")
    for row in rows:
        # Text, not markup: a member may be called "[red].jpg".
        table.add_row(*(Text(plain_figure(value)) for value in row))
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    console = Console(width=width)
    # Not as the table's own title, which would be folded to the width of a narrow table.
    console.print(Text(title), soft_wrap=True)
    console.print(table)


class Bar(Protocol):
    """Takes (done, total) as work proceeds.

    The total may grow while it is being found out; None leaves it, or the title, as it is.
    """

    def __call__(self, done: float, total: float | None = None, title: str | None = None) -> None:
        """Show how much is done."""


class _TerminalBar:
    def __init__(self, progress: "RichProgress", task: "TaskID") -> None:
        self._progress = progress
        self._task = task
        self._title: str | None = None  # as it was changed to

    def __call__(self, done: float, total: float | None = None, title: str | None = None) -> None:
        if title is not None and title != self._title:
            self._title = title
            # Else sources planned, and images done by earlier runs, would count for the time left.
            self._progress.reset(self._task, completed=int(done))
        changes: dict[str, Any] = {"completed": done}
        if total is not None:
            changes["total"] = total
        if title is not None:
            changes["description"] = title
        self._progress.update(self._task, **changes)


class _LogLines:
    """Says a line about the progress now and then, for a log."""

    def __init__(self, title: str, total: float | None) -> None:
        self._title = title
        self._total = total
        self._pause = _FIRST_PAUSE
        self._due = time.monotonic() + self._pause
        self._first: tuple[float, float] | None = None  # when this title came, and what was done

    def __call__(self, done: float, total: float | None = None, title: str | None = None) -> None:
        self._total = self._total if total is None else total
        now = time.monotonic()
        if self._first is None or (title is not None and title != self._title):
            self._first = (now, done)
        self._title = title or self._title
        if now < self._due:
            return
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._due = now + self._pause
        whole = "" if self._total is None else f" of {self._total:,.0f}"
        remark(f"{self._title}: {done:,.0f}{whole}{self._time_left(now, done)}")

    def _time_left(self, now: float, done: float) -> str:
        """At the rate since this title came; nothing where there is none yet."""
        if self._total is None or self._first is None:
            return ""
        began, done_before = self._first
        left = self._total - done
        if done <= done_before or left <= 0:
            return ""
        seconds = left * (now - began) / (done - done_before)
        return f", about {duration(seconds)} left"


@contextmanager
def phases_bar(
    title: str = "looking at the sources", total: float | None = None
) -> Iterator[Progress]:
    """A bar that follows work in several phases and shows the one that is at work.

    Args:
        title: What is shown before the first phase.
        total: Of how much that is; None where it is not known yet.
    """
    with progress_bar(title, total) as bar:

        def follow(what: str, done: float, total: float) -> None:
            bar(done, total, _PHASES.get(what, what))

        yield follow


@contextmanager
def progress_bar(title: str, total: float | None = None) -> Iterator[Bar]:
    """A bar with rate and time left, on stderr; a line now and then where that is a log.

    Args:
        title: What is being done.
        total: Of how much; None where that is not known yet.
    """
    if not sys.stderr.isatty():
        yield _LogLines(title, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=_RATED_SECONDS,
        get_time=time.monotonic,
    ) as progress:
        yield _TerminalBar(progress, progress.add_task(title, total=total))
