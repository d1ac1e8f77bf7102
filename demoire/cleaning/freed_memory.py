"""What becomes of memory that is freed: a setting of the whole process.

A network takes and frees up to 800 MB for every window. By default the C library gives what is
free at the end of its heap back to the system, and each block above 32 MB by itself; the system
hands them out again page by page, each of them zeroed. On pictures of 1.5 MP that takes up to a
sixth of a core's time, on those of 12 MP up to a third. A process that cleans one picture after the
other had better keep the memory. One that has cleaned pictures of 12 MP then holds 1.5 GB at rest,
where it would hold 0.9.

Threads other than the first have heaps of 64 MB, beside which each larger block is mapped by
itself, whatever is said of freed memory. So all threads share the first one's heap (a window of 1.5
MP in another thread: 493 ms of a core instead of 540 to 568, and a third less memory). That has to
be said before any other thread takes memory: where there is a second heap, new threads get either
of them in turn. pyarrow starts a thread when it is imported, so programs say it first of all
(`share_one_heap`), or to a process that they start, by `MALLOC_ARENA_MAX=1` in its environment.
"""

import ctypes
from collections.abc import Callable

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_ARENA_MAX = -8

_MOST_KEPT = 1 << 30  # bytes free at the end of the heap that are not given back
_MOST_MAPPED = 0  # blocks that are mapped for themselves, and given back when they are freed


def share_one_heap() -> bool:
    """Let all threads to come share the first one's heap, if there is no second one yet.

    Returns:
        Whether the C library knows how; only glibc does.
    """
    set_option = _option_setter()
    return set_option is not None and set_option(_ARENA_MAX, 1) == 1


def keep_freed_memory() -> bool:
    """Keep up to 1 GB of freed memory in this process, instead of giving it back each time, and
    share one heap.

    For processes that clean many pictures.

    Returns:
        Whether the C library knows how; only glibc does.
    """
    set_option = _option_setter()
    if set_option is None:
        return False
    is_sharing_set = share_one_heap()
    is_mapping_set = set_option(_MMAP_MAX, _MOST_MAPPED) == 1
    is_trimming_set = set_option(_TRIM_THRESHOLD, _MOST_KEPT) == 1
    return is_sharing_set and is_mapping_set and is_trimming_set


def _option_setter() -> Callable[[int, int], int] | None:
    """glibc's `mallopt`; None where there is another C library."""
    set_option: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option
