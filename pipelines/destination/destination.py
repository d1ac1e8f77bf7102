"""Everything under DST behind one object: the mirrors' place and the bookkeeping in `_demoire`.

A run makes it once and hands it down, to other processes too: it pickles as its place, which is a
URI. Nothing is opened before it is used.
"""

from pipelines.destination.grey_pictures import GreyPictures
from pipelines.destination.ledger import Ledger
from pipelines.destination.manifest import Manifests
from pipelines.destination.markers import Markers
from pipelines.destination.mirrored import MirrorRecords
from pipelines.destination.notes import RunNotes
from pipelines.destination.reports import Reports
from pipelines.destination.shelves import Shelves
from pipelines.layout import BOOKKEEPING
from pipelines.storage.open import open_place, open_witnessed
from pipelines.storage.place import Place


class Destination:
    """What a run writes to, and all that it knows of what was written there.

    Attributes:
        place: Where mirrors and bookkeeping lie.
        ledger: Which units were tried, and which are committed.
        manifests: What was planned.
        shelves: Which small sources share their bookkeeping.
        markers: Which sources are published.
        mirrored: What was written into their mirrors.
        reports: The rows of published sources.
        notes: What finished runs came to.
        grey_pictures: Those of black and white images.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ledger = Ledger(place)
        self.manifests = Manifests(place)
        self.shelves = Shelves(place)
        self.markers = Markers(place, self.shelves)
        self.mirrored = MirrorRecords(place, self.shelves)
        self.reports = Reports(place, self.shelves)
        self.notes = RunNotes(place)
        self.grey_pictures = GreyPictures(place)

    @classmethod
    def at(cls, dst: str) -> "Destination":
        """The destination that a local path or URL names. Touches nothing yet.

        Raises:
            UsageError: The URL is of an unknown kind, or carries credentials.
        """
        return cls(open_place(dst))

    @classmethod
    def of_run(cls, dst: str) -> "Destination":
        """The same for a run, which has made sure of DST and ends where that goes away.

        Raises:
            UsageError: As for `at`.
        """
        return cls(open_witnessed(dst, BOOKKEEPING))

    def __reduce__(self) -> tuple[type["Destination"], tuple[Place]]:
        return type(self), (self.place,)
