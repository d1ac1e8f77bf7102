"""A first wave that may stop a run: `demoire clean --canary N`.

A sample of the archive is looked at as `demoire preview` does it, in this process and before
anything is planned. If too much of it would be changed, or too much was restored for nothing, the
run ends there, and the page that shows why lies under DST.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from demoire.cleaning.config import CleanerConfig
from demoire.errors import CanaryError, UsageError
from demoire.progress import Progress, in_silence
from pipelines.layout import CANARY_PAGE
from pipelines.preview.figures import PreviewFigures
from pipelines.preview.page import preview_page
from pipelines.preview.preview import preview
from pipelines.sources.given import all_given, named_together
from pipelines.storage.open import check_places, open_place


@dataclass(frozen=True)
class CanaryLimit:
    """How much of a sample may be changed before the run stops.

    Attributes:
        touched: Share of the sample's images that may be changed, 0..1.
        without_gain: Share of its restored images that may be copied all the same, 0..1.
    """

    touched: float = 0.5
    without_gain: float = 0.5

    @classmethod
    def parse(cls, text: str) -> "CanaryLimit":
        """Read "TOUCHED" or "TOUCHED,WITHOUT_GAIN".

        Raises:
            UsageError: It is neither, or a share is not from 0 to 1.
        """
        try:
            shares = [float(part) for part in text.split(",")]
        except ValueError:
            shares = []
        are_shares = all(math.isfinite(share) and 0 <= share <= 1 for share in shares)
        if len(shares) not in (1, 2) or not are_shares:
            raise UsageError(
                f"{text!r} is no limit of a canary: give one share from 0 to 1, such as 0.3, or "
                "two, such as 0.3,0.5."
            )
        return cls(*shares)


def run_canary(
    src: str,
    dst: str,
    config: CleanerConfig,
    count: int,
    limit: CanaryLimit,
    *,
    command: str,
    progress: Progress = in_silence,
    also: Sequence[str] = (),
) -> PreviewFigures:
    """Look at a sample of SRC, and stop where too much of it would be changed.

    Args:
        src: What is to be cleaned.
        dst: Where to. The page goes there if the canary stops the run; otherwise that of an earlier
            canary is removed.
        config: As for cleaning.
        count: Images in the sample.
        limit: How much may be changed.
        command: The command line for the page, without a canary.
        progress: As for `preview`.
        also: Further sources like `src`, which is '' where they are all there are.

    Raises:
        CanaryError: Too much would be changed; it names the page.
        UsageError: SRC or DST cannot be used.
    """
    for given in all_given(src, also):
        check_places(given, dst)
    figures = preview(src, config, count, progress, also=also)
    objection = objection_to(figures, limit)
    place = open_place(dst)
    if objection:
        place.write(CANARY_PAGE, preview_page(figures, named_together(src, also), command))
        raise CanaryError(
            f"Stopped by the canary: {objection}; nothing was cleaned. Look at "
            f"{place.full(CANARY_PAGE)}, then choose another threshold or --canary-limit, or leave "
            "--canary out."
        )
    if place.exists(CANARY_PAGE):
        # Beside the report it would look as if this run had been stopped.
        place.delete(CANARY_PAGE)
    return figures


def objection_to(figures: PreviewFigures, limit: CanaryLimit) -> str:
    """What speaks against cleaning; '' where nothing does."""
    changed = figures.changed
    if changed.share > limit.touched:
        return (
            f"{changed.count} of {figures.seen} images would be changed "
            f"({changed.share:.1%}, limit {limit.touched:.1%})"
        )
    in_vain = figures.without_gain.count
    restored = changed.count + in_vain
    if restored and in_vain / restored > limit.without_gain:
        return (
            f"{in_vain} of {restored} restored images are no better "
            f"({in_vain / restored:.1%}, limit {limit.without_gain:.1%})"
        )
    return ""
