"""What a plan says: of each source, and of all of them."""

from collections import Counter
from dataclasses import dataclass, field, fields

from pipelines.records import Member, Source


@dataclass(frozen=True)
class SourcePlan:
    """What is planned for one source. Its report has `rows` rows."""

    source: Source
    images: int  # in units, to be cleaned or copied
    unsafe: int  # image-named, but quarantined as unsafe_name without being read
    others: int  # mirrored untouched, without a row
    units: int
    megapixels: float  # of the images, estimated
    bytes: int  # of the images, as stored
    reads: int  # ranged reads that fetch them
    # Why the archive cannot be indexed: it is copied as it is, and has one row.
    damaged: str | None = None
    unsafe_members: tuple[Member, ...] = ()  # those counted by `unsafe`, for their rows
    # What the mirror does not hold, each with its reason; for an archive it stands for the whole.
    withheld: tuple[Member, ...] = ()
    # Objects that were listed: 1 for an archive, else what lies in the folder. 0 before 0.2.
    objects: int = 0
    # Members that look like work and get no row, by kind.
    not_looked_into: dict[str, int] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether all is at hand that is published; before version 0.2 less was written down."""
        return self.objects > 0 and len(self.unsafe_members) == self.unsafe

    @property
    def unread(self) -> int:
        """Images that go into quarantine without being read. A damaged archive counts as one."""
        return self.unsafe if self.damaged is None else self.unsafe + 1

    @property
    def rows(self) -> int:
        """Rows that its report has to have."""
        return self.images + self.unread + len(self.withheld)


@dataclass(frozen=True)
class PlanScope:
    """What a plan is made for. Generation 0 is a run over everything; retries have higher ones."""

    src: str
    fingerprint: str  # of the configuration
    sample: int | None = None  # so many images only
    generation: int = 0
    also: tuple[str, ...] = ()  # further SRCs; src is '' where they are all there are
    rewrite: bool = False  # files that could be added to are written anew


@dataclass(frozen=True)
class Plan(PlanScope):
    """A plan with its sources; the units are read by `Manifests.units`."""

    id: str = field(kw_only=True)
    sources: tuple[SourcePlan, ...] = field(kw_only=True)

    @property
    def scope(self) -> PlanScope:
        """What the plan is made for, without the sources: small enough to travel with each task."""
        facts = {one.name: getattr(self, one.name) for one in fields(PlanScope)}
        return PlanScope(**facts)

    @property
    def source_ids(self) -> set[str]:
        """The ids of all its sources."""
        return {planned.source.id for planned in self.sources}

    @property
    def images(self) -> int:
        """Images to be cleaned or copied."""
        return sum(planned.images for planned in self.sources)

    @property
    def all_images(self) -> int:
        """Images as a run counts them at its end: cleaned, copied, or in quarantine."""
        return sum(planned.images + planned.unread for planned in self.sources)

    @property
    def rows(self) -> int:
        """Rows that the reports have to have."""
        return sum(planned.rows for planned in self.sources)

    @property
    def others(self) -> int:
        """Members that are mirrored untouched."""
        return sum(planned.others for planned in self.sources)

    @property
    def not_looked_into(self) -> dict[str, int]:
        """Members that look like work and get no row, by kind."""
        counts: Counter[str] = Counter()
        for planned in self.sources:
            counts.update(planned.not_looked_into)
        return dict(counts)

    @property
    def withheld(self) -> dict[str, int]:
        """What the mirror cannot hold, by reason."""
        counts: Counter[str] = Counter()
        for planned in self.sources:
            counts.update(member.reason for member in planned.withheld)
        return dict(counts)

    @property
    def units(self) -> int:
        """Units of work."""
        return sum(planned.units for planned in self.sources)

    @property
    def megapixels(self) -> float:
        """Megapixels of the images, estimated."""
        return sum(planned.megapixels for planned in self.sources)

    @property
    def bytes(self) -> int:
        """Bytes of the images, as the sources store them."""
        return sum(planned.bytes for planned in self.sources)
