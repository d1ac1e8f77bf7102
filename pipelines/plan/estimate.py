"""What a plan will cost: time, requests and bytes."""

from dataclasses import dataclass

from pipelines.plan.manifest import Plan
from pipelines.sources.coalesce import COALESCE_LIMIT

_WRITES_A_UNIT, _WRITES_A_SOURCE = 4, 3  # attempt, segment, rows, marker; archive, report, marker


@dataclass(frozen=True)
class Estimate:
    """What a plan costs, all told: cleaning, and publishing, which reads every source again and
    writes its mirror.
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
    """What the plan will cost on a machine that cleans `mps` megapixels a second (`demoire
    bench`).
    """
    copies = sum(planned.source.size for planned in plan.sources)
    reads = sum(
        planned.reads + 1 + planned.source.size // COALESCE_LIMIT for planned in plan.sources
    )
    writes = _WRITES_A_UNIT * plan.units + _WRITES_A_SOURCE * len(plan.sources)
    return Estimate(
        sources=len(plan.sources),
        units=plan.units,
        images=plan.images,
        megapixels=plan.megapixels,
        hours=plan.megapixels / mps / 3600,
        requests=reads + writes,
        bytes_read=plan.bytes + copies,
        bytes_written=plan.bytes + copies,
    )
