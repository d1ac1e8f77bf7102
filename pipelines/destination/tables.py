"""The Parquet tables in a folder under DST."""

from collections.abc import Iterator

from pipelines.storage.place import Entry, Place


def tables_in(place: Place, folder: str) -> Iterator[Entry]:
    """List the tables directly in a folder, one for each source or shelf."""
    for entry in place.list(folder, recursive=False):
        if entry.kind == "file" and entry.name.endswith(".parquet"):
            yield entry
