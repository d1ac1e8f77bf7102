"""What a plan says: of each source, and of all of them."""

from dataclasses import dataclass, field

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

    @property
    def knows_unsafe(self) -> bool:
        """Whether the unsafe members are at hand; before version 0.2 they were only counted."""
        return len(self.unsafe_members) == self.unsafe

    @property
    def rows(self) -> int:
        """Rows that its report has to have."""
        if self.damaged is not None:
            return self.images + self.unsafe + 1
        return self.images + self.unsafe


@dataclass(frozen=True)
class PlanScope:
    """What a plan is made for. Generation 0 is a run over everything; retries have higher ones."""

    src: str
    fingerprint: str  # of the configuration
    sample: int | None = None  # so many images only
    generation: int = 0
    also: tuple[str, ...] = ()  # further SRCs; src is '' where they are all there are


@dataclass(frozen=True)
class Plan(PlanScope):
    """A plan with its sources; the units are read by `Manifests.units`."""

    id: str = field(kw_only=True)
    sources: tuple[SourcePlan, ...] = field(kw_only=True)

    @property
    def scope(self) -> PlanScope:
        """What the plan is made for, without the sources: small enough to travel with each task."""
        return PlanScope(self.src, self.fingerprint, self.sample, self.generation, self.also)

    @property
    def source_ids(self) -> set[str]:
        """The ids of all its sources."""
        return {planned.source.id for planned in self.sources}

    @property
    def images(self) -> int:
        """Images to be cleaned or copied."""
        return sum(planned.images for planned in self.sources)

    @property
    def rows(self) -> int:
        """Rows that the reports have to have."""
        return sum(planned.rows for planned in self.sources)

    @property
    def others(self) -> int:
        """Members that are mirrored untouched."""
        return sum(planned.others for planned in self.sources)

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
