"""One unit on its way through a worker: what was read of it, and what becomes of its images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from demoire.file_bytes import FileBytes
from demoire.reasons import Reason
from pipelines.clean.payload_column import payloads_in
from pipelines.records import Member, Unit
from pipelines.rows import Outcome, UnitAttempt, cleaner_outcome, unread

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.result import Cleaned


@dataclass(frozen=True)
class Fetched:
    """A unit with what was read for it; of each image either the payload or a reason.

    Of a black and white one in a PDF both, where a grey picture of it is wanted.
    """

    unit: Unit
    payloads: tuple[FileBytes | None, ...]
    reasons: tuple[str | None, ...]
    milliseconds: float  # that all of it took

    @staticmethod
    def from_row(units: Sequence[Unit], table: pa.Table) -> "list[Fetched]":
        """Each unit with what a fetch task's table of one row holds for it.

        Args:
            units: The unit, or those of the bundle.
            table: The row, with the images of all of them one behind the other.
        """
        payloads = payloads_in(table.column("payloads")[0])
        reasons = tuple(table.column("reasons")[0].as_py())
        milliseconds = table.column("milliseconds")[0].as_py()
        fetched = []
        start = 0
        for unit in units:
            end = start + len(unit.members)
            share = milliseconds * len(unit.members) / len(payloads)
            fetched.append(Fetched(unit, payloads[start:end], reasons[start:end], share))
            start = end
        return fetched


def clean_unit(
    cleaner: "Cleaner",
    fetched: Fetched,
    attempt: UnitAttempt,
    on_image: Callable[[Member, "Cleaned"], None],
) -> list[Outcome]:
    """What becomes of each image of a unit, in their order.

    Args:
        cleaner: Cleans them.
        fetched: The unit with its bytes.
        attempt: The attempt at it.
        on_image: Called with each image that the cleaner is done with, and what became of it.
    """
    members = fetched.unit.members
    outcomes: dict[int, Outcome] = {}
    payloads: dict[int, FileBytes] = {}
    for number, member in enumerate(members):
        reason = fetched.reasons[number]
        payload = fetched.payloads[number]
        if reason is not None:
            outcomes[number] = unread(member, Reason.of(reason), attempt)
        if payload is not None:
            payloads[number] = payload
    for number, cleaned in cleaner.clean_many(list(payloads.items())):
        member = members[number]
        if number not in outcomes:
            outcomes[number] = cleaner_outcome(member, payloads[number], cleaned, attempt)
        on_image(member, cleaned)
    return [outcomes[number] for number in range(len(members))]
