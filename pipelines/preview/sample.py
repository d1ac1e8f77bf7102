"""A few images that stand for all of an archive.

Images are ordered by archive, format and size, and taken at equal steps. So every archive, format
and size has its due share of the sample (implicit stratification), every image has the same chance,
and a share of the sample is the best guess of the share of all. The same archive gives the same
sample each time.

It costs the index of the archives, but of no more archives than images are asked for. Where there
are more, archives are taken at equal steps too.

References:
    Madow, "On the Theory of Systematic Sampling, II", Annals of Mathematical Statistics 20, 1949.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from demoire.errors import UsageError
from demoire.progress import Progress, in_silence
from pipelines.names import shown
from pipelines.records import Member, Source
from pipelines.sources.given import discover_given, named_together
from pipelines.sources.index import index
from pipelines.sources.inner_positions import reading_order
from pipelines.sources.members import DamagedArchiveError

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class SampledImage:
    """One image of the sample, and where it is."""

    source: Source
    member: Member


@dataclass(frozen=True)
class ArchiveSample:
    """The sample, and what it stands for.

    Attributes:
        images: In the order of their archives, and of the members in each.
        all_images: Images in all archives; an estimate unless every archive was indexed.
        all_sources: Archives and folders under SRC.
        indexed_sources: How many of them were looked into.
        damaged: Sentences about archives that cannot be indexed.
    """

    images: tuple[SampledImage, ...]
    all_images: int
    all_sources: int
    indexed_sources: int
    damaged: tuple[str, ...]

    @property
    def all_indexed(self) -> bool:
        """Whether `all_images` is counted, and not estimated."""
        return self.indexed_sources == self.all_sources


def draw_sample(
    src: str,
    count: int,
    progress: Progress = in_silence,
    *,
    also: Sequence[str] = (),
    office: bool = False,
) -> ArchiveSample:
    """Draw about `count` images of SRC, or all where there are fewer.

    Args:
        src: As for `discover_given`: a folder, an archive, a URL or a glob of them.
        count: How many images; at least 1.
        progress: Told how many archives are indexed, of how many.
        also: Further ones like SRC.
        office: Whether office documents are looked into.

    Raises:
        UsageError: A SRC does not exist, or all hold no image, or two would lie in one place.
    """
    sources = discover_given(src, also)
    chosen_sources = at_equal_steps(sources, count)
    images: list[SampledImage] = []
    damaged: list[str] = []
    for done, source in enumerate(chosen_sources, start=1):
        try:
            listed = index(source, office=office).images
            images += [SampledImage(source, member) for member in listed]
        except DamagedArchiveError as error:
            damaged.append(str(error))
        progress("looking into archives", done, len(chosen_sources))
    if not images:
        name = shown(named_together(src, also))
        raise UsageError(f"{name} holds no image that could be cleaned; check the path.")
    images.sort(key=_stratum)
    sample = at_equal_steps(images, count)
    sample.sort(key=_as_read)
    return ArchiveSample(
        images=tuple(sample),
        all_images=round(len(images) * len(sources) / len(chosen_sources)),
        all_sources=len(sources),
        indexed_sources=len(chosen_sources),
        damaged=tuple(damaged),
    )


def at_equal_steps(things: Sequence[_Thing], count: int) -> list[_Thing]:
    """Take `count` things at equal steps, each from the middle of its step; all if there are fewer.

    Args:
        things: In an order in which neighbours are alike.
        count: How many to take; at least 1.
    """
    if len(things) <= count:
        return list(things)
    step = len(things) / count
    return [things[int((number + 0.5) * step)] for number in range(count)]


def _as_read(image: SampledImage) -> tuple[str, str, tuple[int, int]]:
    """What images are sorted by to be read."""
    return image.source.path, image.source.uri, reading_order(image.member.position)


def _stratum(image: SampledImage) -> tuple[str, str, str, int, str]:
    """What an image is sorted by: archive, format, size, and then by chance."""
    source = image.source
    suffix = PurePosixPath(image.member.name).suffix.lower()
    size_class = image.member.size.bit_length()  # of bytes, each class twice the one before
    chance = hashlib.sha256(f"{source.id}/{image.member.position}".encode()).hexdigest()
    return source.path, source.uri, suffix, size_class, chance
