"""Images that were copied because an extra was not installed, and can be cleaned now that it is.

They are what HEIC files are without `demoire[heif]`. Nothing of theirs has changed, so their units
are committed and their sources published; they are planned again under the next generation, as a
retry plans what is in quarantine, and all else stays as it is.

The extra has to be there in the process that plans, and on every node of a cluster
(`pipelines.clean.node_extras`): a worker without it would copy the images once more, at every run.

Where the extra is there, costs a read of the plan's units, and of the report of each source that
holds HEIC files.
"""

from collections.abc import Iterator

from demoire.imaging.formats import HEIC_SUFFIXES, can_clean_heic
from demoire.reasons import Reason
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan
from pipelines.layout import position_of
from pipelines.plan.next_attempt import AttemptedImage
from pipelines.sources.members import suffix_of


def newly_possible(destination: Destination, plan: Plan) -> Iterator[AttemptedImage]:
    """The images of a plan that were copied only for lack of an extra which is installed now.

    Args:
        destination: Where the plan's sources are published.
        plan: The plan.
    """
    if not can_clean_heic():
        return
    source_ids = set()
    for unit in destination.manifests.units(plan):
        if any(suffix_of(member.name) in HEIC_SUFFIXES for member in unit.members):
            source_ids.add(unit.source.id)
    if not source_ids:
        return
    destination.shelves.refresh()
    reports = destination.reports.reader(["image_id", "member", "reason"])
    for source_id in sorted(source_ids):
        marker = destination.markers.read(source_id)
        if marker is None:
            continue
        for row in reports.rows(source_id).to_pylist():
            is_heic = suffix_of(row["member"]) in HEIC_SUFFIXES
            if is_heic and row["reason"] == Reason.UNSUPPORTED_FORMAT:
                position = position_of(row["image_id"])
                yield AttemptedImage(source_id, position, marker.generation)
