"""The files of a unit as a column, on their way from the task that reads them to their actor.

Ray keeps the column in memory that processes share. A large file comes there from a temporary file
and goes from there into another, so that neither process has it in memory of its own.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from demoire.file_bytes import FileBytes, one_behind_the_other, read_part

PAYLOADS = pa.list_(pa.large_binary())
"""The column's type: a list of files a row, null where there is none."""


def payload_column(files: Sequence[FileBytes | None]) -> pa.ListArray:
    """A column of one row.

    Args:
        files: None for those that could not be read.

    Raises:
        MachineError: There is no room for several large files behind each other.
    """
    contents = [b"" if file is None else file for file in files]
    ends = np.fromiter(accumulate(map(len, contents), initial=0), np.int64)
    is_there = pa.array([file is not None for file in files], pa.bool_())
    # From buffers, since a builder would copy each file twice.
    buffers = [is_there.buffers()[1], pa.py_buffer(ends)]
    buffers.append(pa.py_buffer(one_behind_the_other(contents)))
    values = pa.Array.from_buffers(pa.large_binary(), len(contents), buffers)
    return pa.ListArray.from_arrays(pa.array([0, len(contents)], pa.int32()), values)


def payloads_in(row: pa.ListScalar) -> tuple[FileBytes | None, ...]:
    """The files in a row, the large ones mapped."""
    files: list[FileBytes | None] = []
    for value in row.values:
        if not value.is_valid:
            files.append(None)
            continue
        content = value.as_buffer()
        files.append(read_part(cast(BinaryIO, pa.BufferReader(content)), 0, content.size))
    return tuple(files)
