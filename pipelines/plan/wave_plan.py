"""What the next wave is to do, worked out while the wave before it runs.

A wave's plan is one look at the ledger and one at the manifest: some 10 s for a million images in a
bucket, in which a whole cluster would stand idle. So while a wave runs, a thread plans the next
one, as if all that is in work now were committed. What it leaves out is not lost: the ledger alone
says what is committed, and a run ends only when a plan that was made afresh finds nothing open.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass

from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan
from pipelines.plan.bundles import bundle_units, is_small, open_parts
from pipelines.plan.units import parts_of
from pipelines.records import Bundle, Unit, units_in

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerState:
    """How far the ledger is."""

    committed: int  # units
    deadly: int  # units


@dataclass(frozen=True)
class WavePlan:
    """What a wave is to do, and what is open besides.

    Attributes:
        work: What is to be cleaned in this wave.
        hopeless: Units of one image that killed whatever process touched it.
        open_units: All that are open, in this wave or later.
        open_images: Those that can still be cleaned.
        ledger: How far the ledger was.
    """

    work: tuple[Unit | Bundle, ...]
    hopeless: tuple[Unit, ...]
    open_units: int
    open_images: int
    ledger: LedgerState

    @property
    def unit_ids(self) -> set[str]:
        """The ids of all units in work, those in bundles too."""
        return {unit.id for one in self.work for unit in units_in(one)}

    @property
    def is_last(self) -> bool:
        """Whether nothing is open besides."""
        return self.open_units == len(self.unit_ids) + len(self.hopeless)


def plan_wave(
    destination: Destination,
    plan: Plan,
    sources: AbstractSet[str],
    most_units: int,
    in_work: AbstractSet[str] = frozenset(),
) -> WavePlan:
    """Look what is open, and take the first of it.

    Args:
        destination: What holds ledger and manifest.
        plan: What is to be cleaned.
        sources: Ids of the sources that count.
        most_units: How many the wave may have.
        in_work: Ids of units that another wave has in hand, and that are not looked at.
    """
    committed = destination.ledger.committed()
    deadly = destination.ledger.deadly(committed)
    state = LedgerState(len(committed), len(deadly))
    work: list[Unit | Bundle] = []
    hopeless: list[Unit] = []
    units_of_wave = 0
    open_units = 0
    open_images = 0
    for one in _open_work(destination, plan, sources, committed | in_work, deadly):
        units = units_in(one)
        open_units += len(units)
        if isinstance(one, Unit) and one.id in deadly:  # halved down to this one image
            hopeless.append(one)
            continue
        open_images += sum(len(unit.members) for unit in units)
        if units_of_wave < most_units:
            work.append(one)
            units_of_wave += len(units)
    return WavePlan(tuple(work), tuple(hopeless), open_units, open_images, state)


def _open_work(
    destination: Destination,
    plan: Plan,
    sources: AbstractSet[str],
    committed: AbstractSet[str],
    deadly: AbstractSet[str],
) -> Iterator[Unit | Bundle]:
    """What is left of these sources: units, parts of those that had to be halved, and small ones
    that are cleaned together.
    """
    for group in bundle_units(destination.manifests.units(plan)):
        open_ids: set[str] = set()  # of small ones
        for unit in group:
            if unit.source.id not in sources or unit.id in committed:
                continue
            if is_small(unit) and unit.id not in deadly:
                open_ids.add(unit.id)
            else:
                yield from parts_of(unit, plan.fingerprint, committed, deadly).open
        yield from open_parts(group, open_ids, deadly)


class PlanAhead:
    """The plan of the next wave, made in a thread while a wave runs.

    The thread has the ledger to itself until the plan is taken.
    """

    def __init__(self) -> None:
        self._coming: Future[WavePlan] | None = None

    def begin(self, make: Callable[[], WavePlan]) -> None:
        """Start to make a plan."""
        coming: Future[WavePlan] = Future()
        self._coming = coming

        def fulfil() -> None:
            try:
                coming.set_result(make())
            except Exception as error:
                coming.set_exception(error)

        # A run that is to end does not wait for it.
        threading.Thread(target=fulfil, name="demoire-plan-ahead", daemon=True).start()

    def take(self) -> WavePlan | None:
        """Wait for the plan and take it; None where none was begun, or it could not be made.

        Then it has to be made anew, and whatever was in the way shows there.
        """
        coming = self._coming
        self._coming = None
        if coming is None:
            return None
        try:
            return coming.result()
        except Exception as error:
            _LOG.debug("The next wave could not be planned ahead: %r", error)
            return None
