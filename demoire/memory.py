"""How much memory this process may have: the machine's, or less where a container has a limit.

Limits of containers are those of control groups, of either version; each group above counts too.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

_CURRENT = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}


@dataclass(frozen=True)
class MemoryLimit:
    """The memory there is for this process and all that share it.

    Attributes:
        total: Bytes.
        used: Bytes of it that the container has; None where the whole machine counts.
        owner: Whose limit it is.
    """

    total: int
    used: int | None
    owner: Literal["machine", "container"]


def memory_limit(root: Path = Path("/")) -> MemoryLimit:
    """The tightest limit that holds for this process.

    Args:
        root: Where the file systems proc and sys are mounted.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    tightest = MemoryLimit(machine, None, "machine")
    for group in _groups(root):
        for limit_name, used_name in _CURRENT.items():
            limit = _number_in(group / limit_name)
            if limit is not None and limit < tightest.total:
                used = _number_in(group / used_name)
                tightest = MemoryLimit(limit, used, "container")
    return tightest


def free_memory() -> float:
    """Bytes of memory that are not in use, in this process's limits."""
    limit = memory_limit()
    free: float = psutil.virtual_memory().available
    return free if limit.used is None else min(free, limit.total - limit.used)


def _groups(root: Path) -> list[Path]:
    """The folders of this process's control groups, and of all above them.

    A line of /proc/self/cgroup is "number:controllers:path"; version 2 has number 0 and names no
    controllers. In a container the path may be that of the machine, which is not there: then the
    top of the mount is the container's own group.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    groups: list[Path] = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        top = root / "sys/fs/cgroup"
        if "memory" in controllers.split(","):
            top = top / "memory"
        elif number != "0":
            continue
        group = top / path.lstrip("/")
        groups.append(group)
        groups += [above for above in group.parents if above.is_relative_to(top)]
    return groups


def _number_in(file: Path) -> int | None:
    """The number in a file; None where there is no such file, or "max" in it."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
