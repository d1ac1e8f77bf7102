"""Processes that do for this one what may crash: native decoders at work on files from outside.

A child is started when it is first needed (0.3 s), one for each thread that waits for one, and
kept. A child ends with its parent, however that ends.

Requests and answers go through a pipe. What is large may go through memory that both share, which
is there from the child's start: pages that were written once cost nothing to write again.
"""

import mmap
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import Pipe
from pathlib import Path

import psutil

from demoire.errors import MachineError

_START = "import sys; sys.path[:] = {path!r}; from {module} import {function}; {function}({ends})"

# A child that neither works nor answers, as one whose disk is slow, is waited for so many times as
# long as one that works.
_PATIENCE = 5
_LOOK_AGAIN = 1.0  # seconds


class Child:
    """A process that answers one request after the other.

    Attributes:
        pipe: Requests go in here and answers come out. EOFError and OSError mean that it has died.
        shared: Memory that both processes see; None where none was asked for.
    """

    def __init__(self, module: str, function: str, shared_bytes: int = 0) -> None:
        """Start a process that calls this function with the descriptor of its end of the pipe.

        Where shared memory is asked for, its descriptor is the second argument.

        Raises:
            MachineError: There is no room for one more process, pipe or piece of memory.
        """
        try:
            self._start(module, function, shared_bytes)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise MachineError(
                f"A process for decoding images cannot be started ({what}): raise the machine's "
                "limits (ulimit -n, -u, -f) or use fewer --workers, then run the same command "
                "again."
            ) from error

    def _start(self, module: str, function: str, shared_bytes: int) -> None:
        self.shared: mmap.mmap | None = None
        self.pipe, other = Pipe()
        with other, ExitStack() as opened:
            descriptors = [other.fileno()]
            if shared_bytes:
                descriptor = opened.enter_context(_memory(shared_bytes))
                self.shared = mmap.mmap(descriptor, shared_bytes)
                descriptors.append(descriptor)
            ends = ", ".join(str(descriptor) for descriptor in descriptors)
            program = _START.format(path=sys.path, module=module, function=function, ends=ends)
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # where native decoders say what they think of the file
                pass_fds=descriptors,
                start_new_session=True,  # a Ctrl-C is for the parent
            )
            self._times = psutil.Process(self._process.pid)

    @property
    def process_id(self) -> int:
        """Of the process."""
        return self._process.pid

    def answers_within(self, seconds: float) -> bool:
        """Whether an answer comes before the child has worked for so long.

        On a machine that has more to do than it has cores, most of the time goes by while a child
        waits for one, or while it starts: only what it had of a core counts.
        """
        before = self._core_seconds()
        start = time.monotonic()
        wait = seconds
        while not self.pipe.poll(wait):
            has_worked = self._core_seconds() - before >= seconds
            if has_worked or time.monotonic() - start >= _PATIENCE * seconds:
                return False
            wait = _LOOK_AGAIN
        return True

    def _core_seconds(self) -> float:
        """What the process has had of the cores since its start, on all threads together."""
        times = self._times.cpu_times()
        total: float = times.user + times.system
        return total

    def end(self) -> None:
        """End the process and wait for it."""
        self.pipe.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def _memory(size: int) -> Iterator[int]:
    """A descriptor of so many bytes, which live as long as somebody has mapped them."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("demoire")
    else:
        descriptor, name = tempfile.mkstemp()
        Path(name).unlink()
    try:
        os.ftruncate(descriptor, size)
        yield descriptor
    finally:
        os.close(descriptor)


class Children:
    """The children of this process that do one kind of work, kept once they are started."""

    def __init__(self, module: str, function: str, shared_bytes: int = 0) -> None:
        """Name what they do.

        Args:
            module: Where the function is.
            function: Takes the descriptor of a pipe and serves it.
            shared_bytes: How much memory each of them shares with this process; its descriptor is
                the function's second argument. 0 for none.
        """
        self._module = module
        self._function = function
        self._shared_bytes = shared_bytes
        self._idle: list[Child] = []
        self._lock = threading.Lock()
        self._is_told_of_forks = False

    @contextmanager
    def lend(self) -> Iterator[Child]:
        """A child for the block. One whose block raised is ended, the others wait for more work."""
        child = self._take()
        try:
            yield child
        except BaseException:
            child.end()
            raise
        with self._lock:
            self._idle.append(child)

    def end(self) -> None:
        """End those that wait for work."""
        with self._lock:
            idle = self._idle.copy()
            self._idle.clear()
        for child in idle:
            child.end()

    def _take(self) -> Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if not self._is_told_of_forks:
                os.register_at_fork(after_in_child=self._forget)
                self._is_told_of_forks = True
        return Child(self._module, self._function, self._shared_bytes)

    def _forget(self) -> None:
        """In a fork of this process: the children are the parent's.

        Dropping them closes the fork's ends of their pipes, without which they would outlive the
        parent. Another thread may have held the lock at the moment of the fork.
        """
        self._idle.clear()
        self._lock = threading.Lock()
