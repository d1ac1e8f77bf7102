"""A plan for images that get another attempt under the next generation.

They are in quarantine (`pipelines.retry`), or were copied for lack of an extra that is there by now
(`pipelines.plan.newly_possible`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from demoire.cleaning.config import CleanerConfig
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan
from pipelines.plan.plan import make_retry_plan


@dataclass(frozen=True)
class AttemptedImage:
    """An image whose source is published, and at which another attempt can be made.

    Attributes:
        source_id: What it is in.
        position: Where there.
        generation: Of the latest attempt in its source.
    """

    source_id: str
    position: int
    generation: int


def plan_next_attempt(
    destination: Destination, images: Sequence[AttemptedImage], config: CleanerConfig
) -> Plan:
    """A plan for some images of the latest plan; at least one.

    Args:
        destination: What holds the latest plan.
        images: What to clean once more.
        config: What to clean it by.
    """
    return make_retry_plan(
        destination,
        [(image.source_id, image.position) for image in images],
        config.fingerprint(),
        1 + max(image.generation for image in images),
        rewrite=config.rewrite,
    )
