"""Report rows that are changed because an image did not get into the mirror as it was to."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# What the row of an image says that is in the mirror as it came, or not at all.
UNCLEANED: dict[str, Any] = {
    "tiles_restored": 0,
    "moire_after": pa.scalar(None),
    "psnr_vs_input": pa.scalar(None),
    "ssim_vs_input": pa.scalar(None),
    "colour_shift": pa.scalar(None),
}
# What it says besides where the image is not in the mirror.
NOTHING_WRITTEN: dict[str, Any] = {"bytes_out": 0, "sha256_out": pa.scalar(None)}


def changed_rows(table: pa.Table, rows: pa.Array, changes: Mapping[str, Any]) -> pa.Table:
    """The table with these rows changed.

    Args:
        table: Rows of a report.
        rows: A boolean for each row.
        changes: Values, or other columns, by the name of a column.
    """
    for name, value in changes.items():
        number = table.schema.get_field_index(name)
        column = table.schema.field(number)
        values = pc.if_else(rows, value, table[name]).cast(column.type)
        table = table.set_column(number, column, values)
    return table
