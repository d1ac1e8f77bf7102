"""The program as a user starts it: a process of its own, on a terminal that is always the same."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

_TERMINAL = {"COLUMNS": "100", "LINES": "40", "TERM": "dumb", "NO_COLOR": "1", "PYTHONUTF8": "1"}
_COLOURS = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH")


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON documents on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment() -> dict[str, str]:
    """This process's environment with a terminal that is the same everywhere."""
    variables = {name: value for name, value in os.environ.items() if name not in _COLOURS}
    return variables | _TERMINAL | {"OMP_NUM_THREADS": "1"}


def demoire(*words: str | Path, timeout: float = 300) -> Ended:
    """Run `python -m flows.cli` with these words."""
    return _run("-m", "flows.cli", *map(str, words), timeout=timeout)


def _run(*arguments: str, timeout: float = 300) -> Ended:
    """Run Python with these arguments."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@cache
def help_page(command: str) -> Ended:
    """What a command says of itself; that of one that does not exist has status 2."""
    return _help_pages().get(command, Ended(2, "", f"there is no command {command}"))


# All in one process: to start one and to import the command line takes a second each time.
_HELP_OF_ALL = """
import contextlib, io, json
from flows.app import COMMANDS
from flows.cli import main

pages = {}
for command in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main([command.__name__, "--help"])
    pages[command.__name__] = (status, out.getvalue())
print(json.dumps(pages))
"""


@cache
def _help_pages() -> dict[str, Ended]:
    ended = _run("-c", _HELP_OF_ALL)
    assert ended.status == 0, ended.err
    pages = {}
    for command, (status, out) in ended.document.items():
        pages[command] = Ended(status, out, ended.err)
    return pages
