"""What becomes of memory that is freed: a setting of the whole process.

A network takes and frees some 200 MB for every tile. By default the C library gives what is free at
the end of its heap back to the system, which hands it out again page by page, each of them zeroed.
On tiles of 1024 px that takes up to a fifth of a core's time, and more on larger ones. A process
that cleans one picture after the other had better keep the memory.
"""

import ctypes
from collections.abc import Callable

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3

_MOST_KEPT = 256 << 20  # bytes free at the end of the heap that are not given back
# Bytes from which a block is mapped for itself, and given back when it is freed. The largest value
# that glibc takes; left alone it begins at 128 kB and rises to this.
_MAPPED_FROM = 32 << 20


def keep_freed_memory() -> bool:
    """Keep up to 256 MB of freed memory in this process, instead of giving it back each time.

    For processes that clean many pictures. Large blocks, such as a large picture, are still given
    back at once.

    Returns:
        Whether the C library knows how; only glibc does.
    """
    try:
        set_option: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    # Setting either of them ends glibc's own adjustment of both.
    is_mapping_set = set_option(_MMAP_THRESHOLD, _MAPPED_FROM) == 1
    is_trimming_set = set_option(_TRIM_THRESHOLD, _MOST_KEPT) == 1
    return is_mapping_set and is_trimming_set
