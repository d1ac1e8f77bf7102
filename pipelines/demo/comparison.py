"""A cleaned sample collection against the truth that was drawn with it."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demoire.errors import UsageError
from demoire.measure.likeness import psnr
from pipelines.demo.collection import Collection
from pipelines.demo.containers import read_member
from pipelines.demo.drawing import KnownTruth, Pixels8


@dataclass(frozen=True)
class Comparison:
    """One picture of the collection against its clean twin."""

    twin: KnownTruth
    psnr_before: float  # dB
    psnr_after: float  # dB

    @property
    def kind(self) -> str:
        """The kind of moiré that was simulated."""
        return self.twin.kind


@dataclass(frozen=True)
class ComparedPictures:
    """The pixels of one picture: as it was drawn with moiré, cleaned, and without moiré."""

    before: Pixels8
    after: Pixels8
    clean: Pixels8


def compare_with_truth(collection: Collection, cleaned: Path) -> list[Comparison]:
    """Compare each picture with moiré with its clean twin, before and after cleaning.

    Args:
        collection: What was drawn.
        cleaned: The folder that mirrors it.

    Raises:
        UsageError: A cleaned picture is missing.
    """
    comparisons = []
    for twin in collection.twins():
        pictures = read_pictures(collection, cleaned, twin)
        before = psnr(pictures.before, pictures.clean)
        after = psnr(pictures.after, pictures.clean)
        comparisons.append(Comparison(twin, before, after))
    return comparisons


def read_pictures(collection: Collection, cleaned: Path, twin: KnownTruth) -> ComparedPictures:
    """Decode a picture with moiré, what became of it, and its clean twin.

    Raises:
        UsageError: The cleaned picture is missing.
    """
    try:
        after = read_member(cleaned / twin.source, twin.member)
    except (OSError, KeyError) as error:
        raise UsageError(
            f"{twin.member} of {twin.source} is not in {cleaned}; clean the collection first."
        ) from error
    return ComparedPictures(
        before=_pixels(read_member(collection.folder / twin.source, twin.member)),
        after=_pixels(after),
        clean=_pixels((collection.truth / twin.clean).read_bytes()),
    )


def _pixels(data: bytes) -> Pixels8:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
