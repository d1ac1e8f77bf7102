"""Where the mirrors differ from SRC: what is foreign there, and what has left SRC.

Costs one read of a small object for each source that was ever published under DST.
"""

from dataclasses import dataclass

from demoire.reasons import Reason
from pipelines.destination.destination import Destination
from pipelines.destination.mirror_record import MirrorRecord
from pipelines.destination.plans import Plan
from pipelines.job import ObjectList
from pipelines.paths import folders_above, path_below
from pipelines.sources.given import all_given, full_src


@dataclass(frozen=True)
class Differences:
    """Where the objects under DST are not the mirror of what is in SRC.

    Attributes:
        foreign: Objects in the mirror's way that this program did not write, or that were changed
            since. They stay, and what would go there is not in the mirror.
        left: Mirrors of what has left SRC. They stay until somebody prunes them.
    """

    foreign: ObjectList = ObjectList()
    left: ObjectList = ObjectList()


def differences(destination: Destination, plan: Plan) -> Differences:
    """What is foreign and what has left SRC, by the records of what was published.

    Args:
        destination: Everything under DST.
        plan: The latest plan, which says what is in SRC.
    """
    foreign: list[str] = []
    left: list[str] = []
    sources = SourcesNow.of(plan)
    for record in destination.mirrored.all():
        if sources.have(record):
            foreign += record.paths("foreign")
        departure = sources.departure_of(record)
        if departure is not None:
            left += departure.paths
    return Differences(ObjectList.of(foreign), ObjectList.of(left))


@dataclass(frozen=True)
class Departure:
    """What of a source's mirror has left SRC.

    Attributes:
        paths: Of the objects.
        is_whole: Whether the source itself has left; it need not have had any object.
    """

    paths: list[str]
    is_whole: bool


@dataclass(frozen=True)
class SourcesNow:
    """Which sources SRC holds, by the latest plan.

    Attributes:
        ids: Of those in the plan.
        srcs: What the plan was made for, as full paths or URLs; none where it was made for a
            sample, which does not say what is in SRC.
        closed: Paths under DST of what lies in SRC but may not be read, files and whole folders.
    """

    ids: frozenset[str]
    srcs: frozenset[str]
    closed: frozenset[str]

    @staticmethod
    def of(plan: Plan) -> "SourcesNow":
        """The sources of a plan."""
        srcs: set[str] = set()
        if plan.sample is None:
            srcs.update(full_src(src) for src in all_given(plan.src, plan.also))
        closed: set[str] = set()
        for planned in plan.sources:
            for member in planned.withheld:
                if member.reason == Reason.NO_ACCESS.value:
                    closed.add(path_below(planned.source.path, member.name))
        return SourcesNow(frozenset(plan.source_ids), frozenset(srcs), frozenset(closed))

    def have(self, record: MirrorRecord) -> bool:
        """Whether the record's source is in SRC."""
        return record.source_id in self.ids

    def departure_of(self, record: MirrorRecord) -> Departure | None:
        """What a record holds that has left SRC; None if nothing has, or if that cannot be told.

        What was published from another SRC has not left this one.
        """
        if self._hide_part_of(record):
            return None
        if self.have(record):
            left = record.paths("left")
            return Departure(left, is_whole=False) if left else None
        if record.src in self.srcs:
            return Departure(record.paths("mirrored", "left"), is_whole=True)
        return None

    def _hide_part_of(self, record: MirrorRecord) -> bool:
        """Whether part of the record's mirror may still be in SRC, hidden by missing permissions.

        An archive or folder that may not be read is not listed as a source, but it has not left.
        """
        if not self.closed:
            return False
        for path in record.paths("mirrored", "left"):
            if path in self.closed or not self.closed.isdisjoint(folders_above(path)):
                return True
        return False
