"""How many threads the native libraries take: a setting of the whole process.

Whoever owns the process makes it, once and before the first image: a command, a Ray actor, a
script. A Cleaner does not, since other code may share its process.
"""

import os

import cv2
import torch


def use_threads(count: int = 0) -> None:
    """Give torch's networks `count` threads on the CPU, and OpenCV a single one.

    OpenCV is called from several threads at a time already; a pool of its own below each of them
    would only make them wait for one another.

    Args:
        count: Threads of torch; 0 for one on each core that this process may use.
    """
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(count or cores)
    cv2.setNumThreads(1)


def share_of_machine() -> float:
    """How much of the machine this process has on a CPU, by its threads, 0..1.

    Several processes that clean beside each other share the cores, and memory likewise.
    """
    return min(1.0, torch.get_num_threads() / (os.cpu_count() or 1))
