"""Cleaning the sample in this process, without writing anything to a mirror.

Each image goes through the very cleaner that `demoire clean` runs, with its thresholds. The images
whose score is just below the threshold are restored as well, in a second pass with a lower one, so
that the page can show what moving the threshold would change.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.cleaner import Cleaner, load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import find_device
from demoire.cleaning.result import Cleaned
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.rgb import decode_rgb
from demoire.progress import Progress, in_silence
from pipelines.names import as_text
from pipelines.preview.sample import SampledImage
from pipelines.report.crops import jpeg, most_changed
from pipelines.rows import source_name
from pipelines.sources.read import read_members

CROP = 264  # px; two crops side by side, and two pairs of them, fit the page
AMPLIFIED = 4  # times that the page shows what was taken away

_DOUBTFUL = 20  # images below the threshold that are restored all the same
_LEAST_SCORE = 0.02  # below it there is no doubt


@dataclass(frozen=True)
class LookCrops:
    """The same crop of an image, in its own pixels, as JPEGs."""

    width: int  # px
    before: bytes
    after: bytes
    taken_away: bytes  # before minus after, amplified, on mid-grey


@dataclass(frozen=True)
class ImageLook:
    """What cleaning would do to one image of the sample.

    Attributes:
        source: The archive or folder as the report names it.
        member: The name in it.
        status: "cleaned", "copied" or "quarantined", at the configuration's threshold.
        reason: Why it is quarantined, or copied although it may hold moiré; else None.
        score: Probability of moiré, 0..1; None where the detector has not looked.
        kind: The kind of moiré; None where the detector has not looked.
        psnr: dB of the restored picture against the image; the lower, the more was changed. None
            unless it was restored.
        crops: Of an image that was restored.
    """

    source: str
    member: str
    status: str
    reason: str | None
    score: float | None
    kind: str | None
    psnr: float | None = None
    crops: LookCrops | None = None

    @property
    def is_changed(self) -> bool:
        """Whether `demoire clean` would change it."""
        return self.status == "cleaned"


@dataclass(frozen=True)
class Looks:
    """What cleaning would do to the sample.

    Attributes:
        images: One for each image of the sample.
        threshold: The score from which an image is cleaned.
        gate: "auto", or "off" where every image is restored whatever its score.
    """

    images: tuple[ImageLook, ...]
    threshold: float
    gate: str


@dataclass(frozen=True)
class _Pending:
    """An image on its way through the cleaner."""

    number: int
    sampled: SampledImage
    data: FileBytes


def look_at(
    images: Sequence[SampledImage], config: CleanerConfig, progress: Progress = in_silence
) -> Looks:
    """Clean the images of a sample, and keep what the page shows of them.

    Args:
        images: The sample, by archive and position.
        config: As for cleaning.
        progress: Told how many images are done, of how many, in each of the two passes.

    Raises:
        UsageError: The device is not there.
        WeightsError: The weights cannot be used.
        SourceChangedError: A source changed after it was indexed.
    """
    models = load_models(config, find_device(config.device))
    config = replace(config, bilevel="copy")  # grey pictures are shown nowhere here
    cleaner = Cleaner(config, models)
    looks: dict[int, ImageLook] = {}
    # The images below the threshold with the highest scores: (score, number, image).
    doubtful: list[tuple[float, int, _Pending]] = []
    for pending, cleaned in _cleaned(_read(images, looks), cleaner):
        looks[pending.number] = _look(pending, cleaned)
        score = cleaned.moire_before
        if cleaned.status == "copied" and cleaned.reason is None and score is not None:
            if score >= _LEAST_SCORE:
                heapq.heappush(doubtful, (score, pending.number, pending))
            if len(doubtful) > _DOUBTFUL:
                heapq.heappop(doubtful)
        progress("cleaning the sample", len(looks), len(images))
    if doubtful:
        lowest = doubtful[0][0]
        lenient = Cleaner(replace(config, threshold=lowest), models)
        pending_again = [pending for _, _, pending in doubtful]
        again = _cleaned(iter(pending_again), lenient)
        for done, (pending, cleaned) in enumerate(again, start=1):
            look = looks[pending.number]
            restored = _look(pending, cleaned)
            looks[pending.number] = replace(look, psnr=restored.psnr, crops=restored.crops)
            progress("restoring those below the threshold", done, len(doubtful))
    in_order = tuple(looks[number] for number in sorted(looks))
    return Looks(in_order, cleaner.threshold, config.gate)


def _read(images: Sequence[SampledImage], looks: dict[int, ImageLook]) -> Iterator[_Pending]:
    """Read the images; of those that cannot be read the reason is noted at once.

    The cleaner's threads run this, one at a time.
    """
    number = 0
    for source, group in groupby(images, key=lambda image: image.source):
        members = [image.member for image in group]
        for member, data in read_members(source, members):
            sampled = SampledImage(source, member)
            if isinstance(data, ImageError):
                looks[number] = _unread(sampled, data)
            else:
                yield _Pending(number, sampled, data)
            number += 1


def _cleaned(pending: Iterator[_Pending], cleaner: Cleaner) -> Iterator[tuple[_Pending, Cleaned]]:
    items = ((one, one.data) for one in pending)
    yield from cleaner.clean_many(items)


def _unread(sampled: SampledImage, error: ImageError) -> ImageLook:
    return ImageLook(
        source=source_name(sampled.source),
        member=as_text(sampled.member.name),
        status=error.reason.status,
        reason=error.reason,
        score=None,
        kind=None,
    )


def _look(pending: _Pending, cleaned: Cleaned) -> ImageLook:
    crops = None
    if cleaned.status == "cleaned":
        crops = _crops(decode_rgb(pending.data), decode_rgb(cleaned.data))
    return ImageLook(
        source=source_name(pending.sampled.source),
        member=as_text(pending.sampled.member.name),
        status=cleaned.status,
        reason=cleaned.reason,
        score=cleaned.moire_before,
        kind=cleaned.moire_kind,
        psnr=cleaned.psnr_vs_input,
        crops=crops,
    )


def _crops(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> LookCrops:
    rows, columns = most_changed(before, after, CROP)
    crop_before = before[rows, columns]
    crop_after = after[rows, columns]
    taken_away = crop_before.astype(np.int16) - crop_after
    amplified = (128 + AMPLIFIED * taken_away).clip(0, 255).astype(np.uint8)
    return LookCrops(
        width=crop_before.shape[1],
        before=jpeg(crop_before),
        after=jpeg(crop_after),
        taken_away=jpeg(amplified),
    )
