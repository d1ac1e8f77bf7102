"""The report rows of images whose place in the mirror is taken by somebody else's file.

The report must not vouch for bytes that are not in the mirror, so such an image is withheld,
whatever was made of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

import pyarrow as pa
import pyarrow.compute as pc

from demoire.reasons import Reason
from pipelines.layout import image_id
from pipelines.paths import path_below
from pipelines.publish.row_changes import NOTHING_WRITTEN, UNCLEANED, changed_rows
from pipelines.records import Member, Source
from pipelines.sources.inner_positions import file_name_of

_FOREIGN = {
    "status": "withheld",
    "reason": Reason.FOREIGN_OBJECT.value,
    **UNCLEANED,
    **NOTHING_WRITTEN,
}


def without_foreign(
    tables: Iterable[pa.Table],
    source: Source,
    members: Mapping[int, Member],
    foreign: AbstractSet[str],
) -> Iterator[pa.Table]:
    """The tables of a source with those images as withheld whose place is taken.

    Args:
        tables: Its rows.
        source: The source.
        members: Its images by position.
        foreign: The paths under DST that are taken. That of an archive stands for all in it.
    """
    ids = []
    if source.kind == "folder" and foreign:
        for position, member in members.items():
            if path_below(source.path, file_name_of(member)) in foreign:
                ids.append(image_id(source.id, position))
    for table in tables:
        is_foreign = pc.is_in(table["image_id"], pa.array(ids, pa.string()))
        if source.kind != "folder" and foreign:
            is_foreign = pa.array([True] * table.num_rows)
        yield changed_rows(table, is_foreign, _FOREIGN)
