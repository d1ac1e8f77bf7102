"""How many threads the native libraries take: a setting of the whole process.

Whoever owns the process makes it, once and before the first image: a command, a Ray actor, a
script. A Cleaner does not, since other code may share its process; threads of its own take their
part of them.
"""

import os
import threading

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


_TAKING = threading.Lock()


def take_threads(count: int) -> None:
    """Give torch `count` threads on the CPU for what the calling thread computes, and only for it.

    torch's own call also sets what threads get that are born later, so another thread puts that
    back.
    """
    with _TAKING:
        of_process = torch.get_num_threads()  # must come first: it settles this thread's number
        torch.set_num_threads(count)
        putting_back = threading.Thread(target=torch.set_num_threads, args=(of_process,))
        putting_back.start()
        putting_back.join()


def share_of_machine() -> float:
    """How much of the machine this process has on a CPU, by its threads, 0..1.

    Several processes that clean beside each other share the cores, and memory likewise.
    """
    return min(1.0, torch.get_num_threads() / (os.cpu_count() or 1))
