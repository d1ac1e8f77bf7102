"""What lies under DST and was not written by this program: it is never overwritten.

A first run goes into an empty DST, unless it is told to put the mirrors beside what is there. A
source that DST has never seen needs its place there to be free, in a first run and in any later
one. Costs two small requests, and one more for each source where DST is not empty.
"""

from collections.abc import Sequence

from demoire.errors import UsageError
from pipelines import layout
from pipelines.destination.destination import Destination
from pipelines.destination.loose_objects import loose_objects
from pipelines.destination.plans import PlanScope
from pipelines.names import shown
from pipelines.records import Source
from pipelines.sources.given import named_together
from pipelines.storage.place import Place
from pipelines.storage.way import leads_through_link


def check_free(
    destination: Destination, scope: PlanScope, sources: Sequence[Source], *, merge: bool
) -> None:
    """Check that the mirrors of these sources replace nothing of anybody's.

    Args:
        destination: Where the mirrors go.
        scope: What the sources were given as.
        sources: What is to be cleaned.
        merge: Whether a DST that holds other things will do for a first run.

    Raises:
        UsageError: DST holds something that this program did not write there.
    """
    place = destination.place
    if not _has_bookkeeping(place):
        stranger = _first_object(place)
        if stranger is None:
            return
        if not merge:
            raise UsageError(
                f"DST {place.full()} is not empty (it holds {stranger}), and this program did not "
                "make it: choose an empty DST, or add --merge to put the mirrors beside what is "
                "there. Several sources are given as one quoted glob, or with --also."
            )
    for source in sources:
        occupied = _occupied(place, source)
        if occupied is not None and not _is_known(destination, source):
            way_out = _way_out(destination, scope)
            raise UsageError(
                f"{place.full(occupied)} lies where the mirror of {source.path or 'SRC'} would go, "
                f"{way_out}."
            )


def _way_out(destination: Destination, scope: PlanScope) -> str:
    """Whose the thing in the way may be, and what to do about it."""
    latest = destination.manifests.find_latest()
    if latest is None or (latest.src, latest.also) == (scope.src, scope.also):
        return "and this program did not write it: move it away, or choose another DST"
    other = shown(named_together(latest.src, latest.also))
    return (
        f"and DST was made from {other}: choose another DST, or clean both into one, the second by "
        "--also"
    )


def _has_bookkeeping(place: Place) -> bool:
    return next(place.list(layout.BOOKKEEPING), None) is not None


def _first_object(place: Place) -> str | None:
    """The first thing that lies there, as a path."""
    entry = next(place.list(), None)
    return None if entry is None else entry.path


def _occupied(place: Place, source: Source) -> str | None:
    """What lies where a source's mirror goes; None if that is free.

    What a link of the mirror leads to lies elsewhere; publishing withholds what would be written
    through one.
    """
    folder = source.path if source.kind == "folder" else source.path.rpartition("/")[0]
    if leads_through_link(place, folder):
        return None
    if source.kind != "folder":
        return source.path if place.exists(source.path) else None
    for entry in loose_objects(place, source.path):
        if entry.kind == "file":
            return entry.path
    return None


def _is_known(destination: Destination, source: Source) -> bool:
    """Whether an earlier run under DST has planned this source, so that its mirror is ours.

    A run that died may have left a mirror without a marker; but it had planned the source before.
    """
    if destination.markers.read(source.id) is not None:
        return True
    return any(source.id in plan.source_ids for plan in destination.manifests.all())
