"""Tests of files that may not be read: root reads everything, unless it gives that right up."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

# Linux capabilities(7): to read, write and list whatever the modes of files and folders say.
_OVERRIDES_MODES = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def modes_count() -> Iterator[None]:
    """Let modes of files count for this thread and those that it starts, even if it is root's."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_VERSION_3, 0)
    sets = (_Sets * 2)()
    _checked(libc.capget(ctypes.byref(header), sets))
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDES_MODES
    _checked(libc.capset(ctypes.byref(header), sets))
    try:
        yield
    finally:
        sets[0].effective = before
        _checked(libc.capset(ctypes.byref(header), sets))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be read or set")
