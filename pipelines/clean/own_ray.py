"""The Ray that this process has started on its machine: whether its helpers live, and its end.

Ray runs as a handful of processes beside the one that started it. Two of them are vital: the
raylet, which starts workers, and the GCS, which knows where everything is. Where one of the two
dies or stands still, Ray's own library waits for a minute or so and then ends the process that uses
it, without a word. So it has to be noticed before.
"""

from contextlib import suppress

import psutil

_VITAL = ("raylet", "gcs_server")
_LONGEST_DEATH = 10.0  # seconds
_DEAD = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
_STANDING_STILL = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}


class OwnRay:
    """The local Ray of this process, where it has started one."""

    def __init__(self) -> None:
        self._helpers: dict[str, psutil.Process] = {}
        self._stopped: set[str] = set()  # names of those that the last look saw stopped

    def note_start(self) -> None:
        """Look up the helpers of the Ray that was just started."""
        self._helpers.clear()
        for child in psutil.Process().children():
            name = child.name()
            if name in _VITAL:
                self._helpers[name] = child

    def note_end(self) -> None:
        """Forget about it: it was shut down."""
        self._helpers.clear()

    def failed_helper(self) -> str | None:
        """What is wrong with a vital process, as a clause; None if all work, or none is ours.

        One that is stopped has failed only if the look before saw it stopped, too: where a whole
        group is stopped and continued (Ctrl-Z, fg), this process may wake up first.
        """
        stopped_before = self._stopped
        self._stopped = set()
        for name, process in self._helpers.items():
            status = _status(process)
            if status in _DEAD:
                return f"Ray's helper process {name} died"
            if status in _STANDING_STILL:
                self._stopped.add(name)
        for name in self._stopped & stopped_before:
            return f"Ray's helper process {name} is stopped"
        return None

    def end_by_force(self) -> None:
        """End all of Ray's processes, although they may not answer any more.

        A process that stands still takes no SIGTERM, and Ray would wait for it.
        """
        doomed: list[psutil.Process] = []
        for helper in self._helpers.values():
            with suppress(psutil.NoSuchProcess):
                doomed += helper.children(recursive=True)
            doomed.append(helper)
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(doomed, timeout=_LONGEST_DEATH)
        self._helpers.clear()


def _status(process: psutil.Process) -> str:
    """As psutil calls it; that of a dead process where there is none any more."""
    try:
        status: str = process.status()
    except psutil.NoSuchProcess:
        status = psutil.STATUS_DEAD
    return status


own_ray = OwnRay()
