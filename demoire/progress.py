"""How long work says how far it is: one signature for all of it.

Whoever works calls it, whoever shows it (a bar, a log line, nothing) gives it. `demoire` and
`pipelines` never print.
"""

from typing import Protocol


class Progress(Protocol):
    """Takes what is being done, how much of it is done, and of how much."""

    def __call__(self, what: str, done: float, total: float) -> None:
        """Show it. Called often, so it has to be quick; `done` may stay the same or jump."""


def in_silence(what: str, done: float, total: float) -> None:
    """Show nothing: the progress of work that nobody watches."""
