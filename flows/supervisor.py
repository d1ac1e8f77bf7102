"""Does the work in a process of its own, and does it again if that process ended oddly.

Ray's library ends the process that uses it, with status 1 and no word, where a helper of Ray does
not answer for a minute; native code aborts. Neither can be prevented from inside. So a command that
uses Ray works in a child of this process. The child says through a pipe that it ends by itself, and
with which status. Where it ends without that word, or says by its status that the work stood still,
a new child goes on where the old one ended: that is what every command promises anyway.

The child is forked before anything heavy is imported. So it has the terminal, the arguments and the
standard streams of the command, a second start costs what the first one did, and the process that
waits costs some 13 MB and 20 ms. It ends with the child's status; if it is killed, the kernel kills
the child.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn
from uuid import uuid4

from demoire.errors import INTERRUPTED_STATUS, STALLED_STATUS, DemoireError
from flows.leaving import leave_soon

GO = "DEMOIRE_GO"  # a name of its own for each child, in the environment of all that it starts

MOST_GOES = 5
_FORWARDED = (signal.SIGTERM, signal.SIGINT)
_AWAITED = (*_FORWARDED, signal.SIGCHLD)
ENDED_BY_A_LIBRARY = (
    -signal.SIGABRT,
    -signal.SIGBUS,
    -signal.SIGFPE,
    -signal.SIGILL,
    -signal.SIGSEGV,
    1,
)
_SAME_SIGNAL = 1.0  # seconds within which a signal that comes twice is forwarded once
_PR_SET_PDEATHSIG = 1  # of prctl(2): the signal for this process when its parent dies
_LONGEST_WORD = 100  # bytes


@dataclass(frozen=True)
class _End:
    """How a child ended.

    Attributes:
        code: Its exit status, or the number of the signal that ended it, negative.
        word: The status that it said it would end with; None: it said nothing.
        was_asked_to_stop: SIGTERM or SIGINT came meanwhile.
    """

    code: int
    word: int | None
    was_asked_to_stop: bool

    @property
    def status(self) -> int | None:
        """The status to end with; None where the work did not come to an end of its own."""
        if self.word is not None:
            # Ray may still end the process while Python is on its way out.
            is_overruled = self.code < 0 or self.code == 1
            return self.word if is_overruled else self.code
        if self.code == STALLED_STATUS or self.code in ENDED_BY_A_LIBRARY:
            return None
        return self.code if self.code >= 0 else 128 - self.code


def supervise(work: Callable[[], int], *, keeps_stdin: bool = False) -> int:
    """Do the work in a child process, five times at most.

    Args:
        work: Does it and returns an exit status, STALLED_STATUS where it stood still. It is called
            in the child, which ends with that status.
        keeps_stdin: Read standard input here first, so that every child can read all of it.

    Returns:
        The exit status for this process: the child's, or 128 + N if signal N killed it.
    """
    stdin = _read_stdin() if keeps_stdin else None
    # In a process whose parent ignored it no child could be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        for go in range(1, MOST_GOES + 1):
            name = uuid4().hex
            end = _one_go(work, name, mask, stdin)
            if end.word is None:
                _end_what_is_left(name)
            status = _status_by(end)
            if status is not None:
                return status
            if go < MOST_GOES:
                _say(f"The same command is begun again now ({go + 1} of {MOST_GOES}).")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _say(
        f"The command was begun {MOST_GOES} times: see whether this machine is overloaded or "
        "short of memory first."
    )
    return DemoireError.exit_code


def _status_by(end: _End) -> int | None:
    """The exit status after a child has ended so; None where the work is to be begun again.

    Says what the child could not say any more.
    """
    is_stopped = end.was_asked_to_stop and end.word is None
    if is_stopped and end.code in (-signal.SIGTERM, STALLED_STATUS, *ENDED_BY_A_LIBRARY):
        _say("Stopped; the same command again goes on where this one ended.")
        return DemoireError.exit_code
    if end.status is not None:
        is_killed = end.word is None and end.code < 0
        if is_killed:
            _say(
                f"The process that did the work was killed ({_how(end)}); what is committed "
                "stays, run the same command again to go on."
            )
        return end.status
    if end.code != STALLED_STATUS:
        _say(f"The work ended without a word ({_how(end)}), as Ray ends it where it fails.")
    return None


def _one_go(
    work: Callable[[], int], name: str, mask: set[int | signal.Signals], stdin: int | None
) -> _End:
    """Do the work in a child of this name, and wait for its end."""
    word_out, word_in = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(word_out)
        _end_with_parent(parent)
        os.environ[GO] = name
        if stdin is not None:
            os.lseek(stdin, 0, os.SEEK_SET)
            os.dup2(stdin, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _work(work, word_in)
    os.close(word_in)
    code, was_asked_to_stop = _wait(child)
    # Whatever the child has forked may hold the other end, so the pipe's end is not waited for.
    os.set_blocking(word_out, False)
    word = b""
    with suppress(BlockingIOError):
        word = os.read(word_out, _LONGEST_WORD)
    os.close(word_out)
    return _End(code, int(word) if word else None, was_asked_to_stop)


def _work(work: Callable[[], int], word_in: int) -> NoReturn:
    """In the child: do the work, say that it ended by itself, and end."""
    try:
        status = work()
    except KeyboardInterrupt:  # at the last moment, when all was told
        status = INTERRUPTED_STATUS
    except BaseException:  # Python is at work to the end: the error is told, not repeated
        os.write(word_in, b"1")
        raise
    if status == STALLED_STATUS:
        # An orderly end would wait for a Ray that does not answer.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(STALLED_STATUS)
    # All is done: one more Ctrl-C would only spoil an orderly end, with a traceback of Ray's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(word_in, str(status).encode())
    leave_soon(status)
    raise SystemExit(status)


def _wait(child: int) -> tuple[int, bool]:
    """Wait for the child and forward signals to it; how it ended, and whether there were any."""
    was_asked_to_stop = False
    forwarded: dict[int, float] = {}
    while True:
        arrived = signal.sigwaitinfo(_AWAITED)
        if arrived.si_signo == signal.SIGCHLD:
            pid, wait_status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(wait_status), was_asked_to_stop
            continue
        was_asked_to_stop = True
        now = time.monotonic()
        last = forwarded.get(arrived.si_signo)
        # What the terminal sends (Ctrl-C) comes from the kernel, and the child has it already.
        is_from_terminal = arrived.si_code > 0
        if is_from_terminal or (last is not None and now - last < _SAME_SIGNAL):
            continue
        forwarded[arrived.si_signo] = now
        os.kill(child, arrived.si_signo)


def _end_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def _end_what_is_left(name: str) -> None:
    """Kill what a child that could not tidy up has left.

    Ray's processes mostly end by themselves with the one that started them, but one that is
    stopped never would.
    """
    from flows.leash import end_marked  # psutil is needed for odd ends only

    end_marked(name, grace=0.0, variable=GO)


def _read_stdin() -> int | None:
    """All of standard input in a file in memory; None where it cannot be read."""
    file = os.memfd_create("stdin")
    try:
        while chunk := os.read(0, 1 << 16):
            os.write(file, chunk)
    except OSError:  # the work meets the same error, and tells of it
        os.close(file)
        return None
    return file


def _how(end: _End) -> str:
    if end.code < 0:
        return signal.Signals(-end.code).name
    return f"status {end.code}"


def _say(sentence: str) -> None:
    print(f"demoire: {sentence}", file=sys.stderr, flush=True)
