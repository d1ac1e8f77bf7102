"""What a plan will cost: time, requests and bytes."""

from dataclasses import dataclass

from pipelines.destination.plans import Plan
from pipelines.sources.coalesce import COALESCE_LIMIT

_WRITES_A_UNIT = 4  # attempt, segment, rows, marker
_WRITES_A_SOURCE = 3  # archive, report, marker


@dataclass(frozen=True)
class Estimate:
    """What a plan costs, all told.

    That is cleaning, and publishing, which reads every source again and writes its mirror.
    """

    sources: int
    units: int
    images: int
    megapixels: float
    hours: float
    requests: int
    bytes_read: int
    bytes_written: int


def estimate(plan: Plan, mps: float) -> Estimate:
    """What the plan will cost where `mps` megapixels are cleaned a second (`demoire bench`)."""
    reads = 0
    copied_bytes = 0
    for planned in plan.sources:
        copying_reads = 1 + planned.source.size // COALESCE_LIMIT
        reads += planned.reads + copying_reads
        copied_bytes += planned.source.size
    writes = _WRITES_A_UNIT * plan.units + _WRITES_A_SOURCE * len(plan.sources)
    return Estimate(
        sources=len(plan.sources),
        units=plan.units,
        images=plan.images,
        megapixels=plan.megapixels,
        hours=plan.megapixels / mps / 3600,
        requests=reads + writes,
        bytes_read=plan.bytes + copied_bytes,
        bytes_written=plan.bytes + copied_bytes,
    )
