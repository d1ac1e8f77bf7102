"""What is recorded of a source's mirror: each of its objects, with its digest."""

from dataclasses import dataclass
from typing import Literal

# mirrored: in the mirror, and in SRC when it was written.
# left: still in the mirror, although it has left SRC.
# foreign: somebody else's, where the mirror of something would go.
ObjectState = Literal["mirrored", "left", "foreign"]


@dataclass(frozen=True)
class MirroredObject:
    """One object under DST at a place that belongs to a source."""

    path: str  # under DST
    state: ObjectState
    sha256: str  # of what was written; '' where that is not known
    version: str  # as DST gave it right after the write; '' where that is not known


@dataclass(frozen=True)
class MirrorRecord:
    """All that is known of one source's mirror."""

    source_id: str
    src: str  # the SRC that took the source in, as a full path or URL
    objects: tuple[MirroredObject, ...]

    def paths(self, *states: ObjectState) -> list[str]:
        """The paths of the objects in one of these states, in order."""
        return [item.path for item in self.objects if item.state in states]
