"""The report rows of images whose place in the mirror is taken by somebody else's file.

The report must not vouch for bytes that are not in the mirror, so such an image is in quarantine,
whatever was made of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

import pyarrow as pa
import pyarrow.compute as pc

from demoire.reasons import Reason
from pipelines.layout import image_id
from pipelines.paths import path_below
from pipelines.records import Member, Source


def without_foreign(
    tables: Iterable[pa.Table],
    source: Source,
    members: Mapping[int, Member],
    foreign: AbstractSet[str],
) -> Iterator[pa.Table]:
    """The tables of a source with the images in quarantine whose place is taken.

    Args:
        tables: Its rows.
        source: The source.
        members: Its images by position.
        foreign: The paths under DST that are taken. That of an archive stands for all in it.
    """
    ids = []
    if source.kind == "folder" and foreign:
        for position, member in members.items():
            if path_below(source.path, member.name) in foreign:
                ids.append(image_id(source.id, position))
    for table in tables:
        is_foreign = pc.is_in(table["image_id"], pa.array(ids, pa.string()))
        if source.kind != "folder" and foreign:
            is_foreign = pa.array([True] * table.num_rows)
        yield quarantine_foreign(table, is_foreign)


def quarantine_foreign(table: pa.Table, is_foreign: pa.Array) -> pa.Table:
    """The table with these rows in quarantine: nothing of theirs is in the mirror."""
    null = pa.scalar(None)
    changes = {
        "status": "quarantined",
        "reason": Reason.FOREIGN_OBJECT.value,
        "tiles_restored": 0,
        "moire_after": null,
        "psnr_vs_input": null,
        "ssim_vs_input": null,
        "colour_shift": null,
        "bytes_out": 0,
        "sha256_out": null,
    }
    for name, value in changes.items():
        number = table.schema.get_field_index(name)
        column = table.schema.field(number)
        values = pc.if_else(is_foreign, value, table[name]).cast(column.type)
        table = table.set_column(number, column, values)
    return table
