"""Blocks of coefficients that libjpeg works on, in arrays of ours instead of memory of its own.

libjpeg asks its memory manager for an array of blocks for each component, and then for some rows of
it at a time. The manager is a structure of functions that a program may replace; here two of them
are. So the blocks are arrays of numpy, and those of large pictures lie in a temporary file that the
system can take back from memory (`demoire.imaging.room`): 2 bytes a sample, 1.2 GB for a page of
400 MP with colour at half resolution.

References:
    libjpeg.txt of the Independent JPEG Group, "Memory management"; struct jpeg_memory_mgr in
    jpeglib.h, which is the same in all versions since 6.
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoire.imaging.codecs.libjpeg import Structure
from demoire.imaging.room import file_of, let_go, room_for

Blocks = NDArray[np.int16]
"""(rows, columns, 64): a component's blocks; in each the mean comes first, the rest by rows."""

MEMORY_AT = 8  # in the structures of compression and decompression: the memory manager
# In the manager, bytes: the functions that make an array of blocks, and give access to its rows.
_REQUEST_AT = 40
_ACCESS_AT = 64

_BLOCK = 64  # coefficients
_ALIGNED = 64  # bytes; what libjpeg's own memory is aligned to, and its vector code may rely on
_LET_GO = 1 << 26  # bytes of rows after which all rows are let go

# request_virt_barray(cinfo, pool, are zeros, blocks in a row, rows, rows at a time) -> the array
_REQUEST = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.c_uint,
)
# access_virt_barray(cinfo, array, first row, rows, will be written) -> where the rows begin
_ACCESS = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.c_int,
)


class BlockMemory:
    """The arrays of one file.

    Attributes:
        arrays: Those of its components; a little larger than these, to hold whole units.
    """

    def __init__(self) -> None:
        self.arrays: list[Blocks] = []
        self._addresses: list[NDArray[np.uintp]] = []  # of each array's rows
        # The functions hold lists, not this object: a circle would keep the arrays for too long.
        arrays = self.arrays
        addresses = self._addresses

        def request(_: int, pool: int, are_zeros: int, columns: int, rows: int, most: int) -> int:
            array = _new_blocks(rows, columns)
            arrays.append(array)
            addresses.append(row_addresses(array))
            return len(arrays)  # libjpeg hands it back, and does not look at it

        seen = 0

        def access(_: int, number: int, first: int, rows: int, is_written: int) -> int:
            nonlocal seen
            array = arrays[number - 1]
            seen += rows * array.strides[0]
            if seen > _LET_GO:
                seen = 0
                _let_go(arrays)
            begin: int = addresses[number - 1].ctypes.data
            return begin + first * addresses[number - 1].itemsize

        self._request = _REQUEST(request)
        self._access = _ACCESS(access)

    def serve(self, structure: Structure) -> None:
        """Let libjpeg use these arrays in a structure that it has just created."""
        manager = pointer_at(structure.address + MEMORY_AT)
        _set_function(manager + _REQUEST_AT, self._request)
        _set_function(manager + _ACCESS_AT, self._access)

    def let_go(self) -> None:
        """Give the memory back where the blocks lie in a file."""
        _let_go(self.arrays)


def pointer_at(address: int) -> int:
    """The pointer at an address.

    Raises:
        ValueError: There is none.
    """
    value = ctypes.c_void_p.from_address(address).value
    if value is None:
        raise ValueError("libjpeg has nothing where something should be")
    return value


def _set_function(address: int, function: Any) -> None:
    ctypes.c_void_p.from_address(address).value = ctypes.cast(function, ctypes.c_void_p).value


def _new_blocks(rows: int, columns: int) -> Blocks:
    """Blocks of zeros."""
    count = rows * columns * _BLOCK
    room: NDArray[np.int16] = room_for((count + _ALIGNED // 2,), np.int16)
    if file_of(room) is None:  # a new file holds zeros
        room.fill(0)
    first = -room.ctypes.data % _ALIGNED // 2
    return room[first : first + count].reshape(rows, columns, _BLOCK)


def row_addresses(array: NDArray[Any]) -> NDArray[np.uintp]:
    """Where each row of an array begins, as libjpeg wants to be told."""
    rows = np.arange(len(array), dtype=np.uintp)
    return np.uintp(array.ctypes.data) + rows * np.uintp(array.strides[0])


def _let_go(arrays: list[Blocks]) -> None:
    for array in arrays:
        let_go(array)
