"""The Ray that this process has started on its machine: whether its helpers live, and its end.

Ray runs as a handful of processes beside the one that started it. Two of them are vital: the
raylet, which starts workers, and the GCS, which knows where everything is. Where one of the two
dies, Ray's own library waits for a minute or so and then ends the process that uses it.
"""

from contextlib import suppress

import psutil

_VITAL = ("raylet", "gcs_server")
_LONGEST_DEATH = 10.0  # seconds


class OwnRay:
    """The local Ray of this process, where it has started one."""

    def __init__(self) -> None:
        self._helpers: dict[str, psutil.Process] = {}

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

    def dead_helper(self) -> str | None:
        """The name of a vital process that is dead; None if all live, or none is ours."""
        for name, process in self._helpers.items():
            try:
                is_dead = process.status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                is_dead = True
            if is_dead:
                return name
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


own_ray = OwnRay()
