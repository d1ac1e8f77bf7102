"""Units of work: made of members, named by a digest, halved where one kills its process.

A unit is at most 32 consecutive images of one source, 96 MB encoded and 400 MP decoded; a larger
image is a unit of its own. The id is a digest of what goes in, so the halves of a unit have ids
that follow from the whole's, and nothing about the split has to be written down.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pipelines.records import Member, Source, Unit

UNIT_IMAGES = 32
UNIT_BYTES = 96_000_000
UNIT_MEGAPIXELS = 400.0


@dataclass
class Filling:
    """How much was put together so far, held against the limits of a unit."""

    images: int = 0
    bytes: int = 0
    megapixels: float = 0.0

    def takes(self, images: int, size: int, megapixels: float) -> bool:
        """Put in some more.

        Returns:
            False where all of it is more than a unit may hold. Then a new filling has begun, with
            this in it.
        """
        self.images += images
        self.bytes += size
        self.megapixels += megapixels
        if (
            self.images <= UNIT_IMAGES
            and self.bytes <= UNIT_BYTES
            and self.megapixels <= UNIT_MEGAPIXELS
        ):
            return True
        self.images = images
        self.bytes = size
        self.megapixels = megapixels
        return False


def make_unit(
    source: Source, members: Sequence[Member], fingerprint: str, generation: int = 0
) -> Unit:
    """The unit of exactly these members; a half of a unit is a unit with an id of its own.

    Args:
        source: What the members are of.
        members: Its images, in order.
        fingerprint: Of the configuration that they are to be cleaned by.
        generation: 0, or that of a retry.
    """
    # A folder's version changes with any file in it; its members have their own.
    version = "" if source.kind == "folder" else source.version
    parts = [
        [m.position, m.name, m.offset, m.length, m.size, m.compression, m.version] for m in members
    ]
    text = json.dumps([source.uri, version, fingerprint, generation, parts], separators=(",", ":"))
    return Unit(hashlib.sha256(text.encode()).hexdigest(), source, tuple(members), generation)


def plan_members(
    source: Source, members: Sequence[Member], fingerprint: str, generation: int = 0
) -> list[Unit]:
    """The image members among these, in order, as units within the limits."""
    units: list[Unit] = []
    group: list[Member] = []
    filling = Filling()
    for member in members:
        if member.kind != "image":
            continue
        fits = filling.takes(1, member.size, member.megapixels)
        if group and not fits:
            units.append(make_unit(source, group, fingerprint, generation))
            group = []
        group.append(member)
    if group:
        units.append(make_unit(source, group, fingerprint, generation))
    return units


@dataclass(frozen=True)
class UnitParts:
    """A planned unit as it stands: parts that are committed, and parts that are still to be done.

    A unit that was never halved is its own only part.
    """

    committed: tuple[Unit, ...]
    open: tuple[Unit, ...]


def parts_of(
    unit: Unit, fingerprint: str, committed: AbstractSet[str], deadly: AbstractSet[str]
) -> UnitParts:
    """The unit, or where it is deadly its halves, or their halves, in the order of its members.

    A single deadly image stays one open part, which is to be quarantined instead of being tried
    again.

    Args:
        unit: As it was planned.
        fingerprint: Of the plan's configuration.
        committed: Ids of all committed units.
        deadly: Ids of all units that keep killing their process.
    """
    if unit.id in committed:
        return UnitParts((unit,), ())
    if unit.id not in deadly or len(unit.members) == 1:
        return UnitParts((), (unit,))
    first_half, second_half = halves(unit, fingerprint)
    first = parts_of(first_half, fingerprint, committed, deadly)
    second = parts_of(second_half, fingerprint, committed, deadly)
    return UnitParts(first.committed + second.committed, first.open + second.open)


def lineage(unit: Unit, fingerprint: str, deadly: AbstractSet[str]) -> Iterator[str]:
    """The ids of a planned unit and of all the parts that it was halved into, at every level."""
    yield unit.id
    if unit.id in deadly and len(unit.members) > 1:
        for half in halves(unit, fingerprint):
            yield from lineage(half, fingerprint, deadly)


def halves(unit: Unit, fingerprint: str) -> tuple[Unit, Unit]:
    """The two halves of a unit, as units."""
    middle = len(unit.members) // 2
    return (
        make_unit(unit.source, unit.members[:middle], fingerprint, unit.generation),
        make_unit(unit.source, unit.members[middle:], fingerprint, unit.generation),
    )
