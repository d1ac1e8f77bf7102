"""Processes that do for this one what may crash: native decoders at work on files from outside.

A child is started when it is first needed (0.3 s), one for each thread that waits for one, and
kept. A child ends with its parent, however that ends.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe

from demoire.errors import MachineError

_START = "import sys; sys.path[:] = {path!r}; from {module} import {function}; {function}({end})"


class Child:
    """A process that answers one request after the other.

    Attributes:
        pipe: Requests go in here and answers come out. EOFError and OSError mean that it has died.
    """

    def __init__(self, module: str, function: str) -> None:
        """Start a process that calls this function with the descriptor of its end of the pipe.

        Raises:
            MachineError: There is no room for one more process or pipe.
        """
        try:
            self._start(module, function)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise MachineError(
                f"A process for decoding images cannot be started ({what}): raise the machine's "
                "limits (ulimit -n, ulimit -u) or use fewer --workers, then run the same command "
                "again."
            ) from error

    def _start(self, module: str, function: str) -> None:
        self.pipe, other = Pipe()
        program = _START.format(path=sys.path, module=module, function=function, end=other.fileno())
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # where native decoders say what they think of the file
                pass_fds=[other.fileno()],
                start_new_session=True,  # a Ctrl-C is for the parent
            )

    def end(self) -> None:
        """End the process and wait for it."""
        self.pipe.close()
        self._process.kill()
        self._process.wait()


class Children:
    """The children of this process that do one kind of work, kept once they are started."""

    def __init__(self, module: str, function: str) -> None:
        """Name what they do: a function that takes the descriptor of a pipe and serves it."""
        self._module = module
        self._function = function
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
        return Child(self._module, self._function)

    def _forget(self) -> None:
        """In a fork of this process: the children are the parent's.

        Dropping them closes the fork's ends of their pipes, without which they would outlive the
        parent. Another thread may have held the lock at the moment of the fork.
        """
        self._idle.clear()
        self._lock = threading.Lock()
