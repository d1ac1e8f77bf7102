"""What lies loose in a folder under DST: the mirror of a folder source, without its neighbours.

Archives beside loose files are the mirrors of other sources.
"""

from collections.abc import Iterator

from pipelines.sources.members import archive_kind
from pipelines.storage.place import Entry, Place


def loose_objects(place: Place, folder: str) -> Iterator[Entry]:
    """The files and links directly in a folder, apart from archives."""
    for entry in place.list(folder, recursive=False):
        is_loose_file = entry.kind == "file" and archive_kind(entry.name) is None
        if is_loose_file or entry.kind == "link":
            yield entry
