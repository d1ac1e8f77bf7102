"""The Ray that this process has started on its machine: whether its helpers live, and its end.

Ray runs as a handful of processes beside the one that started it. Two of them are vital: the
raylet, which starts workers, and the GCS, which knows where everything is. Where one of the two
dies or stands still, Ray's own library waits for a minute or so and then ends the process that uses
it, without a word. So it has to be noticed before.
"""

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from demoire.errors import StalledError

_VITAL = ("raylet", "gcs_server")
_LONGEST_DEATH = 10.0  # seconds
_LONGEST_SHUTDOWN = 60.0  # seconds; Ray takes one or two, on a busy machine ten
_DEAD = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
_STANDING_STILL = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}


def stalled(how: str) -> StalledError:
    """The error of work that stands still.

    Args:
        how: How one knows, as a clause.
    """
    return StalledError(
        f"The work stood still and was ended ({how}); what is committed stays, run the same "
        "command again to go on."
    )


def own_children() -> set[psutil.Process]:
    """The processes that this one has started, and that have not been waited for."""
    return set(psutil.Process().children())


def end_with_children(processes: Iterable[psutil.Process]) -> None:
    """Kill processes and all that they have started, and wait until they are gone."""
    doomed: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            doomed += process.children(recursive=True)
        doomed.append(process)
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(doomed, timeout=_LONGEST_DEATH)


class OwnRay:
    """The local Ray of this process, where it has started one."""

    def __init__(self) -> None:
        self._helpers: dict[str, psutil.Process] = {}
        self._stopped: set[str] = set()  # names of those that the last look saw stopped
        self._failure: str | None = None  # what the last look found
        self._shutdown_began: float | None = None

    def note_start(self) -> None:
        """Look up the helpers of the Ray that was just started."""
        self.note_end()
        for child in own_children():
            name = child.name()
            if name in _VITAL:
                self._helpers[name] = child

    def note_shutdown(self) -> None:
        """Ray is being shut down: from now on its helpers may die."""
        self._shutdown_began = time.monotonic()

    def note_end(self) -> None:
        """Forget about it: it was shut down."""
        self._helpers = {}
        self._stopped = set()
        self._failure = None
        self._shutdown_began = None

    def look(self) -> str | None:
        """Look at the vital processes; what is wrong with one, as a clause.

        One that is stopped has failed only if the look before saw it stopped, too: where a whole
        group is stopped and continued (Ctrl-Z, fg), this process may wake up first. So the looks
        have to be some time apart, and only one thread takes them.

        Returns:
            None if all work, or none is ours.
        """
        stopped = set()
        for name, process in self._helpers.items():
            if _status(process) in _STANDING_STILL:
                stopped.add(name)
        stopped_twice = sorted(stopped & self._stopped)
        self._stopped = stopped
        failure = self._dead_helper()
        if stopped_twice:
            failure = f"Ray's helper process {stopped_twice[0]} is stopped"
        elif self._shutdown_lasts_too_long():
            failure = "Ray does not shut down"
        self._failure = failure
        return failure

    def failed_helper(self) -> str | None:
        """What is wrong with a vital process, as a clause: what the last look found, or a death
        that is seen only now.
        """
        return self._failure or self._dead_helper()

    def end_by_force(self) -> None:
        """End all of Ray's processes, although they may not answer any more.

        A process that stands still takes no SIGTERM, and Ray would wait for it.
        """
        helpers = self._helpers
        self.note_end()  # nobody else has to act on their failure any more
        end_with_children(helpers.values())

    def _dead_helper(self) -> str | None:
        if self._shutdown_began is not None:
            return None
        for name, process in self._helpers.items():
            if _status(process) in _DEAD:
                return f"Ray's helper process {name} died"
        return None

    def _shutdown_lasts_too_long(self) -> bool:
        began = self._shutdown_began
        return began is not None and time.monotonic() - began > _LONGEST_SHUTDOWN


def _status(process: psutil.Process) -> str:
    """As psutil calls it; that of a dead process where there is none any more."""
    try:
        status: str = process.status()
    except psutil.NoSuchProcess:
        status = psutil.STATUS_DEAD
    return status


own_ray = OwnRay()
