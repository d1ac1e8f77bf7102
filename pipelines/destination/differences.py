"""Where the mirrors differ from SRC: what is foreign there, and what has left SRC.

Costs one read of a small object for each source that was ever published under DST.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.destination.destination import Destination
from pipelines.destination.mirrored import MirrorRecord
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
    planned = plan.source_ids
    for record in destination.mirrored.all():
        if record.source_id in planned:
            foreign += record.paths("foreign")
            left += record.paths("left")
    for record in left_sources(destination, plan):
        left += record.paths("mirrored", "left")
    return Differences(ObjectList.of(foreign), ObjectList.of(left))


def left_sources(destination: Destination, plan: Plan) -> Iterator[MirrorRecord]:
    """The sources that were published from the same SRC and are no longer there.

    A sample's plan does not say what is in SRC. What was published from another SRC is nobody's
    loss, and is passed over.
    """
    if plan.sample is not None:
        return
    given = {full_src(src) for src in all_given(plan.src, plan.also)}
    planned = plan.source_ids
    for record in destination.mirrored.all():
        if record.source_id not in planned and record.src in given:
            yield record
