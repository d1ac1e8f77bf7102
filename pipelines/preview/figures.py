"""What the sample says about the whole archive, in figures."""

from collections import Counter
from dataclasses import dataclass

from demoire.measure.detection import share_interval
from demoire.reasons import Reason
from pipelines.preview.looks import Looks
from pipelines.preview.sample import ArchiveSample


@dataclass(frozen=True)
class PartOfSample:
    """Some images of the sample, and how many there may be in the whole archive.

    Attributes:
        name: What these images have in common.
        count: How many they are.
        share: Of the sample, 0..1.
        lowest_share: Lower bound of the share in the whole archive, with 95 % confidence; the share
            itself where every image was looked at.
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

    @property
    def all_seen(self) -> bool:
        """Whether every image of the archive was looked at, so that nothing is estimated."""
        return _are_all(self.sample, self.looks)


def preview_figures(sample: ArchiveSample, looks: Looks) -> PreviewFigures:
    """Count what would become of the sample."""
    images = looks.images
    counted = _Counted(len(images), are_all=_are_all(sample, looks))
    statuses = Counter(look.status for look in images)
    kinds = Counter(look.kind or "unknown" for look in images if look.is_changed)
    reasons = Counter(look.reason for look in images if look.reason)
    return PreviewFigures(
        sample=sample,
        looks=looks,
        changed=counted.part("changed", statuses["cleaned"]),
        kinds=counted.parts(kinds),
        copied=counted.part("copied", statuses["copied"]),
        without_gain=counted.part("without gain", reasons[Reason.NO_GAIN]),
        quarantined=counted.part("quarantined", statuses["quarantined"]),
        reasons=counted.parts(reasons),
    )


def _are_all(sample: ArchiveSample, looks: Looks) -> bool:
    return sample.all_indexed and len(looks.images) == sample.all_images


@dataclass(frozen=True)
class _Counted:
    """The images that the parts are parts of."""

    images: int
    are_all: bool  # that there are in the archive

    def parts(self, counts: Counter[str]) -> tuple[PartOfSample, ...]:
        return tuple(self.part(name, count) for name, count in counts.most_common())

    def part(self, name: str, count: int) -> PartOfSample:
        share = count / self.images
        bounds = (share, share) if self.are_all else share_interval(count, self.images)
        return PartOfSample(name, count, share, *bounds)
