"""A progress bar for training, on a terminal; elsewhere the log says how far it is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as RichProgress


@contextmanager
def training_bar(name: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """Give a function to call after each step, with what to show beside the bar."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with RichProgress(console=Console(stderr=True)) as bar:
        line = bar.add_task(name, total=total, completed=done)
        yield lambda text: bar.update(line, advance=1, description=text)
