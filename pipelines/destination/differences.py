"""Where the mirrors differ from SRC: what is foreign there, and what has left SRC.

Costs one read of a small object for each source that was ever published under DST.
"""

from dataclasses import dataclass

from pipelines.destination.destination import Destination
from pipelines.destination.mirror_record import MirrorRecord
from pipelines.destination.plans import Plan
from pipelines.job import ObjectList
from pipelines.sources.given import all_given, full_src


@dataclass(frozen=True)
class Differences:
    """What is under DST and is not what was made of SRC.

    Attributes:
        foreign: Not written by this program, or changed since, where the mirror of something would
            go. It stays, and what would go there is not in the mirror.
        left: Mirrors of what has left SRC since. They stay until somebody prunes them.
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
            left += record.paths("left")
        elif sources.have_lost(record):
            left += record.paths("mirrored", "left")
    return Differences(ObjectList.of(foreign), ObjectList.of(left))


@dataclass(frozen=True)
class SourcesNow:
    """Which sources SRC holds, by the latest plan.

    Attributes:
        ids: Of those in the plan.
        srcs: What the plan was made for, as full paths or URLs; none where it was made for a
            sample, which does not say what is in SRC.
    """

    ids: frozenset[str]
    srcs: frozenset[str]

    @staticmethod
    def of(plan: Plan) -> "SourcesNow":
        """The sources of a plan."""
        srcs: set[str] = set()
        if plan.sample is None:
            srcs.update(full_src(src) for src in all_given(plan.src, plan.also))
        return SourcesNow(frozenset(plan.source_ids), frozenset(srcs))

    def have(self, record: MirrorRecord) -> bool:
        """Whether the record's source is in SRC."""
        return record.source_id in self.ids

    def have_lost(self, record: MirrorRecord) -> bool:
        """Whether the record's source was published from the same SRC and is no longer there.

        What was published from another SRC is not lost.
        """
        return record.source_id not in self.ids and record.src in self.srcs
