"""Where a test process was when it crashed.

pytest tells that of its own process. What a process of pytest-xdist writes to standard error as it
dies is lost, and Ray has handlers of its own for signals, which write there. So each of these
processes keeps a file for what Python's fault handler says, and the report of the test that it
crashed in has it.
"""

import faulthandler
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest

_NO_FAULT = "No fault was seen: the process was killed, or ended itself."

_notes: IO[str] | None = None


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open the file of a process of pytest-xdist, after pytest has named its own."""
    global _notes
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        _notes = _path(worker).open("w")
        note_crashes()


def note_crashes() -> None:
    """Have crashes noted, also where a library has put handlers of its own in place since."""
    if _notes is not None:
        faulthandler.disable()  # a handler that is enabled is not put in place again
        faulthandler.enable(_notes)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the file of a process that has not crashed."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        _path(worker).unlink(missing_ok=True)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(report: Any) -> None:
    """Put what a process has noted into the report of the test that it crashed in."""
    path = _path(report.node.workerinput)
    if path.is_file():
        report.longrepr += f"\n\n{path.read_text() or _NO_FAULT}"
        path.unlink()


def _path(worker: dict[str, Any]) -> Path:
    name = f"demoire-crash-{worker['testrunuid']}-{worker['workerid']}.txt"
    return Path(tempfile.gettempdir(), name)
