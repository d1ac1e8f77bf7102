"""What becomes of memory that is freed: a setting of the whole process.

A network takes and frees 250 to 700 MB for every window. By default the C library gives what is
free at the end of its heap back to the system, and each block above 32 MB by itself; the system
hands them out again page by page, each of them zeroed. Threads other than the first have heaps of
64 MB, beside which each larger block is mapped by itself, whatever is said here: so all threads
share the first one's heap (a window of 1.5 MP in another thread: 493 ms of a core instead of 540 to
568, and a third less memory). On pictures of 1.5 MP that takes up to a
sixth of a core's time, on those of 12 MP up to a third. A process that cleans one picture after the
other had better keep the memory. One that has cleaned pictures of 12 MP then holds 1.5 GB at rest,
where it would hold 0.9.
"""

import ctypes
from collections.abc import Callable

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_ARENA_MAX = -8

_MOST_KEPT = 256 << 20  # bytes free at the end of the heap that are not given back
_MOST_MAPPED = 0  # blocks that are mapped for themselves, and given back when they are freed


def keep_freed_memory() -> bool:
    """Keep up to 256 MB of freed memory in this process, instead of giving it back each time.

    For processes that clean many pictures.

    Returns:
        Whether the C library knows how; only glibc does.
    """
    try:
        set_option: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    set_option(_ARENA_MAX, 1)  # for threads to come, where there are not many heaps yet
    is_mapping_set = set_option(_MMAP_MAX, _MOST_MAPPED) == 1
    is_trimming_set = set_option(_TRIM_THRESHOLD, _MOST_KEPT) == 1
    return is_mapping_set and is_trimming_set
