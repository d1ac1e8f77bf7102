"""What this machine is, as far as it explains its figures."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

from pipelines.bench.figures import Machine


def describe_machine(device_name: str, load: float) -> Machine:
    """Describe this machine.

    Args:
        device_name: What the models run on, as the cleaner names it.
        load: Processes that ran or waited in the minute before the bench.
    """
    return Machine(
        cpu=_cpu_name(),
        cores=usable_cores(),
        load=round(load, 2),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        device=device_name,
        torch=version("torch"),
        ray=version("ray"),
        python=platform.python_version(),
        system=platform.platform(),
    )


def usable_cores() -> int:
    """Cores that this process may use, which a container or taskset may have limited."""
    return len(os.sched_getaffinity(0))


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
