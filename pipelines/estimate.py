"""What a plan will cost: time, requests and bytes.

Requests are those to a bucket, counted on a test server (`tests/pipelines/plan/test_estimate.py`).
Left out are those of the run as a whole, such as its lists of markers: some ten, and one for each
thousand units and sources.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.destination.plans import Plan, SourcePlan
from pipelines.plan.bundles import bundle_units
from pipelines.publish.shelving import SHELF_SOURCES, is_shelved
from pipelines.records import Unit
from pipelines.sources.coalesce import COALESCE_LIMIT

# Cleaning. Of a unit, or a bundle of small ones: is it committed; attempt, segment, rows, marker,
# the first and last of them created exclusively, which takes two.
_A_COMMIT = 7
# Publishing.
_A_ROWS_TABLE = 5  # marker and rows of a unit or bundle, each found and read, and the segment
_A_SHELF = 16  # record, table, previews and marker of up to 128 small sources
_A_SOURCE = 10  # the same of any other source
_AN_OBJECT = 5  # what is there, facts, announcement, object, version
_A_LISTING = 1  # of a folder, which may have changed


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


def estimate(plan: Plan, units: Iterable[Unit], mps: float) -> Estimate:
    """What the plan will cost where `mps` megapixels are cleaned a second (`demoire bench`).

    Args:
        plan: The plan.
        units: All of its units, in order.
        mps: Megapixels a second.
    """
    commits = sum(1 for _ in bundle_units(units))
    requests = commits * (_A_COMMIT + _A_ROWS_TABLE)
    copied_bytes = 0
    shelved = 0
    for planned in plan.sources:
        requests += planned.reads + _of_mirror(planned)
        copied_bytes += planned.source.size
        if is_shelved(planned):
            shelved += 1
        else:
            requests += _A_SOURCE
    shelves = -(-shelved // SHELF_SOURCES)
    return Estimate(
        sources=len(plan.sources),
        units=plan.units,
        images=plan.all_images,
        megapixels=plan.megapixels,
        hours=plan.megapixels / mps / 3600,
        requests=requests + shelves * _A_SHELF,
        bytes_read=plan.bytes + copied_bytes,
        bytes_written=plan.bytes + copied_bytes,
    )


def _of_mirror(planned: SourcePlan) -> int:
    """Requests for the objects of a source's mirror, each with one read of what it is made of."""
    objects = max(1, planned.objects)
    large_reads = planned.source.size // COALESCE_LIMIT
    requests = objects * (_AN_OBJECT + 1) + large_reads
    if planned.source.kind == "folder":
        requests += _A_LISTING
    return requests
