"""What the report says, but for the pictures: totals, proof, histograms and means."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipelines.fixity.findings import Findings

BINS = 20  # of moiré probability, each 0.05 wide
LISTED = 100  # of what is quarantined or withheld: names on the page, for each reason
TIMED_STAGES = ("fetch", "decode", "detect", "restore", "encode")
ORIGINS = ("weights_digest", "config_fingerprint", "run_id", "host", "device")

Bins = NDArray[np.int64]  # (BINS,), images by probability of moiré


@dataclass
class SourceTotals:
    """One source, or all of them: how many images came out how.

    Attributes:
        name: The source as the report names it.
        planned: Rows that it must have by the latest plan; None if that plan does not hold it.
        images: Images that have a row.
        cleaned: Images that were cleaned.
        copied: Images that were copied byte for byte.
        quarantined: Images that could not be cleaned.
        withheld: Rows of what is not in the mirror, whether or not it is an image.
        megapixels: Size of the images, as far as they could be read.
        bytes_in: Size of the files as they came.
        bytes_out: Size of the files in the mirror.
    """

    name: str
    planned: int | None = None
    images: int = 0
    cleaned: int = 0
    copied: int = 0
    quarantined: int = 0
    withheld: int = 0
    megapixels: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def accounted(self) -> int:
        """Rows whose fate the report knows."""
        return self.cleaned + self.copied + self.quarantined + self.withheld

    @property
    def proved(self) -> bool:
        """Whether the count comes out; true where there is no plan to count against."""
        return self.planned is None or self.planned == self.accounted

    def include(self, other: "SourceTotals") -> None:
        """Add the images of another source; name and plan stay."""
        self.images += other.images
        self.cleaned += other.cleaned
        self.copied += other.copied
        self.quarantined += other.quarantined
        self.withheld += other.withheld
        self.megapixels += other.megapixels
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out


@dataclass(frozen=True)
class QuarantinedMember:
    """A member that was copied through as it came, because it could not be cleaned."""

    source: str
    member: str


@dataclass(frozen=True, slots=True)
class WithheldObject:
    """Something in SRC that is not in the mirror."""

    source: str
    member: str
    reason: str


@dataclass
class Mean:
    """A mean over the rows that have the figure."""

    total: float = 0.0
    count: int = 0

    @property
    def value(self) -> float | None:
        """The mean; None where no row has the figure."""
        return self.total / self.count if self.count else None

    def add(self, numbers: NDArray[np.float64]) -> None:
        """Take in the figures of some rows, which have to be finite."""
        self.total += float(numbers.sum())
        self.count += len(numbers)


@dataclass(frozen=True)
class Means:
    """The means of the report. The names are columns of its tables."""

    moire_before: Mean = field(default_factory=Mean)  # over the cleaned images, as far as here:
    moire_after: Mean = field(default_factory=Mean)
    psnr_vs_input: Mean = field(default_factory=Mean)
    ssim_vs_input: Mean = field(default_factory=Mean)
    colour_shift: Mean = field(default_factory=Mean)
    psnr_vs_reference: Mean = field(default_factory=Mean)  # over all images with a known truth:
    ssim_vs_reference: Mean = field(default_factory=Mean)


MEANS_OF_CLEANED = (
    "moire_before",
    "moire_after",
    "psnr_vs_input",
    "ssim_vs_input",
    "colour_shift",
)
MEANS_OF_ALL = ("psnr_vs_reference", "ssim_vs_reference")


def _no_images() -> Bins:
    return np.zeros(BINS, np.int64)


@dataclass
class ReportSummary:
    """All that the report says, but for the pictures.

    Attributes:
        has_plan: Whether there is a plan to prove the count against.
        sources: Every source that is published or planned, by name.
        kinds: Cleaned images by kind of moiré.
        quarantine: Quarantined images by reason.
        listed: The first quarantined members of each reason.
        kept: Copied images by the reason why they were not cleaned; some may hold moiré.
        withheld: Everything that is not in the mirror.
        not_looked_into: Members that look like work and have no row, by kind; as planned.
        judged: All images by probability of moiré as they came.
        before: The cleaned ones among them.
        after: The cleaned ones by probability of moiré after cleaning.
        means: Means over images.
        seconds: Time by stage, of all workers together.
        tiles: Cells that the images have.
        tiles_restored: Cells that the restorer changed.
        origins: What the images were cleaned with, and where: a few values for each column.
        first: When the first image was finished; None without images.
        last: When the last one was.
        fixity: Which checksums in the archive no longer hold; None where nobody has looked.
        rewrite: Whether PDFs with cleaned pictures were written anew, as the latest plan says.
    """

    has_plan: bool
    sources: list[SourceTotals] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    quarantine: Counter[str] = field(default_factory=Counter)
    listed: dict[str, list[QuarantinedMember]] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)
    withheld: list[WithheldObject] = field(default_factory=list)
    not_looked_into: dict[str, int] = field(default_factory=dict)
    judged: Bins = field(default_factory=_no_images)
    before: Bins = field(default_factory=_no_images)
    after: Bins = field(default_factory=_no_images)
    means: Means = field(default_factory=Means)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIMED_STAGES, 0.0))
    tiles: int = 0
    tiles_restored: int = 0
    origins: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in ORIGINS})
    first: datetime | None = None
    last: datetime | None = None
    fixity: Findings | None = None
    rewrite: bool = False

    @property
    def total(self) -> SourceTotals:
        """All sources together."""
        total = SourceTotals("")
        planned = 0
        for source in self.sources:
            total.include(source)
            planned += source.planned or 0
        if self.has_plan:
            total.planned = planned
        return total

    @property
    def unproved(self) -> list[SourceTotals]:
        """The sources whose count does not come out."""
        return [source for source in self.sources if not source.proved]

    @property
    def proved(self) -> bool | None:
        """Whether the count of every source comes out; None where there is no plan."""
        return not self.unproved if self.has_plan else None

    @property
    def unplanned(self) -> int:
        """Rows of sources that the latest plan does not hold: they came with earlier runs."""
        if not self.has_plan:
            return 0
        return sum(source.accounted for source in self.sources if source.planned is None)
