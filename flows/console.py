"""What the commands show: tables and JSON on stdout, progress and remarks on stderr.

JSON goes to stdout alone, so that it can be piped. Progress bars appear on long work only, and only
where stderr is a terminal: a log file has no use for them.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

import typer

from demoire.wording import plain_figure


def emit_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON document on stdout; dataclasses become objects, what JSON lacks (NaN, infinity)
    becomes null.
    """
    typer.echo(json.dumps(_plain(value), indent=indent, allow_nan=False, default=str))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
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

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:  # Text, not markup: a member may be called "[red].jpg"
        table.add_row(*(Text(plain_figure(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 110).print(table)


class Bar:
    """Called with (done, total) as work proceeds; total may grow while it is being found out."""

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress = progress
        self._task = task

    def __call__(self, done: float, total: float | None = None, note: str | None = None) -> None:
        if self._progress is None:
            return
        changes: dict[str, Any] = {"completed": done}
        if total is not None:
            changes["total"] = total
        if note is not None:
            changes["description"] = note
        self._progress.update(self._task, **changes)


_DOING = {
    "plan": "planning (sources)",
    "clean": "cleaning (images)",
    "publish": "publishing (sources)",
}


@contextmanager
def phases_bar() -> Iterator[Callable[[str, float, float], None]]:
    """A bar that follows a whole run: called with (phase, done, total), it shows the phase that is
    at work.
    """
    with progress_bar("looking at the sources") as bar:
        yield lambda phase, done, total: bar(done, total, _DOING.get(phase, phase))


@contextmanager
def progress_bar(title: str, total: float | None = None) -> Iterator[Bar]:
    """A bar with rate and time left on stderr where that is a terminal; else something callable
    that does nothing.
    """
    if not sys.stderr.isatty():
        yield Bar(None, None)
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
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, progress.add_task(title, total=total))
