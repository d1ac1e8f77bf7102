"""Units of work: made of members, named by a digest, halved where one kills its process."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pipelines.records import Member, Source, Unit


@dataclass(frozen=True)
class Pieces:
    """A planned unit as it stands: the parts of it that are committed, and those that are still to
    be done.
    """

    committed: tuple[Unit, ...]
    open: tuple[Unit, ...]


def pieces(
    unit: Unit, fingerprint: str, committed: AbstractSet[str], poisonous: AbstractSet[str]
) -> Pieces:
    """The unit, or where it is deadly its halves, or their halves, in the order of its members.

    A single deadly image stays one open unit, which is to be quarantined instead of being tried
    again.
    """
    if unit.id in committed:
        return Pieces((unit,), ())
    if unit.id not in poisonous or len(unit.members) == 1:
        return Pieces((), (unit,))
    first, second = (
        pieces(half, fingerprint, committed, poisonous) for half in halves(unit, fingerprint)
    )
    return Pieces(first.committed + second.committed, first.open + second.open)


def lineage(unit: Unit, fingerprint: str, poisonous: AbstractSet[str]) -> Iterator[str]:
    """The ids of a planned unit and of all the parts that it was halved into, at every level."""
    yield unit.id
    if unit.id in poisonous and len(unit.members) > 1:
        for half in halves(unit, fingerprint):
            yield from lineage(half, fingerprint, poisonous)


def halves(unit: Unit, fingerprint: str) -> tuple[Unit, Unit]:
    """The two halves of a unit, as units."""
    middle = len(unit.members) // 2
    first, second = unit.members[:middle], unit.members[middle:]
    return (
        make_unit(unit.source, first, fingerprint, unit.generation),
        make_unit(unit.source, second, fingerprint, unit.generation),
    )


UNIT_IMAGES, UNIT_BYTES, UNIT_MEGAPIXELS = 32, 96_000_000, 400.0


def plan_members(
    source: Source, members: Sequence[Member], fingerprint: str, generation: int = 0
) -> list[Unit]:
    """The image members among these, in order, as units within the limits."""
    units: list[Unit] = []
    group: list[Member] = []
    size, megapixels = 0, 0.0
    for member in members:
        if member.kind != "image":
            continue
        size, megapixels = size + member.size, megapixels + member.megapixels
        if group and (
            len(group) == UNIT_IMAGES or size > UNIT_BYTES or megapixels > UNIT_MEGAPIXELS
        ):
            units.append(make_unit(source, group, fingerprint, generation))
            group, size, megapixels = [], member.size, member.megapixels
        group.append(member)
    if group:
        units.append(make_unit(source, group, fingerprint, generation))
    return units


def make_unit(
    source: Source, members: Sequence[Member], fingerprint: str, generation: int = 0
) -> Unit:
    """The unit of exactly these members. Also for splitting: a half of a unit is a unit with its
    own id.
    """
    # A folder's version changes with any file in it; its members have their own.
    version = "" if source.kind == "folder" else source.version
    parts = [
        [m.position, m.name, m.offset, m.length, m.size, m.compression, m.version] for m in members
    ]
    text = json.dumps([source.uri, version, fingerprint, generation, parts], separators=(",", ":"))
    return Unit(hashlib.sha256(text.encode()).hexdigest(), source, tuple(members), generation)
