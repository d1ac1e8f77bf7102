"""The entry of the `demoire` command: decides whether the work is done in a process of its own.

Commands that use Ray do (`flows.supervisor`). The rest of the command line (`flows.app`) is
imported only where the work is done, so that the process that waits stays small.
"""

import sys
from collections.abc import Sequence

from demoire.cleaning.freed_memory import share_one_heap
from demoire.errors import INTERRUPTED_STATUS, STALLED_STATUS, StalledError
from flows.leaving import leave_soon
from flows.supervisor import supervise

_USE_RAY = ("clean", "demo", "retry")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; errors are printed, not raised.

    Args:
        arguments: The words after `demoire`, to be run in this process. None: those of this
            process; a command that uses Ray runs in a child then, and begins again where Ray
            fails it.
    """
    if arguments is not None:
        status = _run(arguments)
        return StalledError.exit_code if status == STALLED_STATUS else status
    share_one_heap()  # before what is imported for the work starts threads
    words = sys.argv[1:]
    if _command(words) not in _USE_RAY:
        status = _run(words)
        leave_soon(status)
        return status
    try:
        return supervise(lambda: _run(words), keeps_stdin=_reads_stdin(words))
    except KeyboardInterrupt:  # while a list was typed
        return _stopped_at_once()


def _run(words: Sequence[str]) -> int:
    try:
        from flows.app import run_command_line
    except KeyboardInterrupt:  # the import takes a moment
        return _stopped_at_once()
    return run_command_line(words)


def _stopped_at_once() -> int:
    print("demoire: stopped before anything was done", file=sys.stderr)
    return INTERRUPTED_STATUS


def _command(words: Sequence[str]) -> str | None:
    for word in words:
        if not word.startswith("-"):
            return word
    return None


def _reads_stdin(words: Sequence[str]) -> bool:
    """Whether the list of sources is read from standard input."""
    if "--from-file=-" in words:
        return True
    return any(words[at : at + 2] == ["--from-file", "-"] for at in range(len(words)))


if __name__ == "__main__":
    sys.exit(main())
