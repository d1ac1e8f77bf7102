"""What the sample says about the whole archive, in figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from demoire.measure.detection import share_interval
from demoire.reasons import Reason
from pipelines.preview.looks import ImageLook, Looks
from pipelines.preview.sample import ArchiveSample


@dataclass(frozen=True)
class PartOfSample:
    """Some images of the sample, and how many there may be in the whole archive.

    Attributes:
        name: What these images have in common.
        count: How many they are.
        share: Of the sample, 0..1.
        lowest_share: Lower bound of the share in the whole archive, with 95 % confidence.
        highest_share: Upper bound of it.
    """

    name: str
    count: int
    share: float
    lowest_share: float
    highest_share: float


@dataclass(frozen=True)
class PreviewFigures:
    """The figures of a preview.

    Attributes:
        sample: What was looked at, and what it stands for.
        looks: What cleaning would do to it.
        changed: Images that would be changed.
        kinds: These by kind of moiré, the most frequent first.
        copied: Images that would be copied byte for byte.
        without_gain: Images that were restored and copied all the same, for want of gain.
        quarantined: Images that could not be cleaned.
        reasons: Copied and quarantined images by reason, the most frequent first.
    """

    sample: ArchiveSample
    looks: Looks
    changed: PartOfSample
    kinds: tuple[PartOfSample, ...]
    copied: PartOfSample
    without_gain: PartOfSample
    quarantined: PartOfSample
    reasons: tuple[PartOfSample, ...]

    @property
    def seen(self) -> int:
        """Images that were looked at."""
        return len(self.looks.images)


def preview_figures(sample: ArchiveSample, looks: Looks) -> PreviewFigures:
    """Count what would become of the sample."""
    images = looks.images
    statuses = Counter(look.status for look in images)
    kinds = Counter(look.kind or "unknown" for look in images if look.is_changed)
    reasons = Counter(look.reason for look in images if look.reason)
    return PreviewFigures(
        sample=sample,
        looks=looks,
        changed=_part("changed", statuses["cleaned"], images),
        kinds=_parts(kinds, images),
        copied=_part("copied", statuses["copied"], images),
        without_gain=_part("without gain", reasons[Reason.NO_GAIN], images),
        quarantined=_part("quarantined", statuses["quarantined"], images),
        reasons=_parts(reasons, images),
    )


def _parts(counts: Counter[str], images: Sequence[ImageLook]) -> tuple[PartOfSample, ...]:
    return tuple(_part(name, count, images) for name, count in counts.most_common())


def _part(name: str, count: int, images: Sequence[ImageLook]) -> PartOfSample:
    whole = len(images)
    lowest, highest = share_interval(count, whole)
    return PartOfSample(name, count, count / whole, lowest, highest)
