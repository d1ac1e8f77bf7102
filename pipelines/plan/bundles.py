"""Small units of several folders put together, so that they share their bookkeeping.

A bundle holds at most as much as a unit may. Bundles are made of the units as they stand in the
plan, whatever is committed of them, so every wave of a run makes the same ones. One that kills its
process is halved, like a unit, until the unit is alone that does it; of a half only what is still
open is tried.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from pipelines.plan.units import Filling
from pipelines.records import Bundle, Unit

SMALL_IMAGES = 8  # of a folder's unit that may share a bundle


def is_small(unit: Unit) -> bool:
    """Whether a unit may share a bundle: it is of a folder and has few images."""
    return unit.source.kind == "folder" and len(unit.members) <= SMALL_IMAGES


def bundle_units(units: Iterable[Unit]) -> Iterator[tuple[Unit, ...]]:
    """Small units in their order, put together up to the limits of a unit; any other one alone.

    Memory holds one group.
    """
    group: list[Unit] = []
    filling = Filling()
    for unit in units:
        if not is_small(unit):
            yield (unit,)
            continue
        fits = filling.takes(len(unit.members), unit.bytes, unit.megapixels)
        if group and not fits:
            yield tuple(group)
            group = []
        group.append(unit)
    if group:
        yield tuple(group)


def open_parts(
    group: Sequence[Unit], open_ids: AbstractSet[str], deadly: AbstractSet[str]
) -> Iterator[Unit | Bundle]:
    """What is still to be done of a group, in the parts that can be tried.

    Attempts are counted for a part as it was made, so that it stays deadly when some of it is
    committed.

    Args:
        group: Small units that belong together.
        open_ids: Ids of the units that are to be done.
        deadly: Ids of all units and bundles that keep killing their process.
    """
    still_open = tuple(unit for unit in group if unit.id in open_ids)
    if len(still_open) == 1:
        yield still_open[0]
    elif still_open:
        whole = Bundle(tuple(group)).id
        if whole in deadly:
            middle = len(group) // 2
            yield from open_parts(group[:middle], open_ids, deadly)
            yield from open_parts(group[middle:], open_ids, deadly)
        else:
            yield Bundle(still_open, whole)
