"""The marker that says a source is published."""

import json
from dataclasses import dataclass

from pipelines.layout import BOOKKEEPING
from pipelines.records import Source
from pipelines.sources.members import archive_kind
from pipelines.storage.place import Place

PUBLISHED = f"{BOOKKEEPING}/published"


@dataclass(frozen=True)
class Published:
    """A source's marker: what was published, of what, and how many of each."""

    source_id: str
    path: str  # under DST; '' for the top folder
    version: str  # of the source
    fingerprint: str
    sample: int | None
    generation: int  # of the latest retry in it
    size: int  # bytes of the mirror
    files: int  # of the mirror; 1 for an archive
    withheld: int  # links, devices and unsafe names of a folder, which are not followed
    others: int
    cleaned: int
    copied: int
    quarantined: int
    megapixels: float
    moire_before: float  # sums over the cleaned
    moire_after: float

    @property
    def images(self) -> int:
        return self.cleaned + self.copied + self.quarantined


def read_marker(place: Place, source_id: str) -> Published | None:
    """The marker of a source, whether or not it still fits; None if there is none."""
    path = f"{PUBLISHED}/{source_id}.json"
    return Published(**json.loads(place.read(path))) if place.exists(path) else None


def is_published(
    place: Place, source: Source, fingerprint: str, sample: int | None
) -> Published | None:
    """The marker of a source, if it is of this very version and configuration and the mirror is
    still there.
    """
    marker = read_marker(place, source.id)
    if marker is None:
        return None
    if (marker.version, marker.fingerprint, marker.sample) != (source.version, fingerprint, sample):
        return None
    if source.kind != "folder":
        mirror = place.stat(source.path)
        return marker if mirror is not None and mirror.size == marker.size else None
    beside = (entry for entry in place.list(source.path, recursive=False) if entry.kind == "file")
    there = sum(1 for entry in beside if archive_kind(entry.name) is None)
    return marker if there >= marker.files else None
