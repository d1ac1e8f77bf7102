"""Mutated images by the ten thousand, by a seed.

The n-th depends on the seed, on n and on the parents alone, not on how many are made: a finding is
made again by its number, which its name begins with. 10,000 take about ten seconds of one core.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.mutations import any_file, bmp, jpeg, metadata, png, tiff, webp
from tests.chaos.mutations.register import Mutation
from tests.chaos.parents import parents, read_parents

_OTHER_SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".bmp", ".gif", ".JPEG", ".psd", ".svg")

# One picture in so many is a bomb: to decode one costs as much as to decode ten thousand others.
_BOMB_EVERY = 2500
_FIRST_BOMB = 40

# The order counts: the n-th file of a seed is found by it.
MUTATIONS: dict[str, Mutation] = {
    **any_file.MUTATIONS,
    **metadata.MUTATIONS,
    **jpeg.MUTATIONS,
    **png.MUTATIONS,
    **tiff.MUTATIONS,
    **webp.MUTATIONS,
    **bmp.MUTATIONS,
}


def mutated_images(
    count: int, seed: int, extra_parents: Path | None = None
) -> Iterator[tuple[str, str, bytes]]:
    """(name, kind of mutation, bytes) of so many files. `extra_parents`: a folder whose files are
    mutated, too.
    """
    all_parents = list(parents())
    if extra_parents is not None:
        all_parents.extend(read_parents(extra_parents))
    suited = {}
    schedule: list[str] = []
    for kind, mutation in MUTATIONS.items():
        suited[kind] = [parent for parent in all_parents if mutation.suits(parent.data)]
        schedule += [kind] * mutation.weight
    for number in range(count):
        kind = schedule[number % len(schedule)]
        if number % _BOMB_EVERY == _FIRST_BOMB:
            kind = "png_bomb"
        rng = Random(f"{seed}/{number}")
        parent = rng.choice(suited[kind])
        suffix = parent.suffix
        if kind == "swapped_extension":
            suffix = rng.choice(_OTHER_SUFFIXES)
        name = f"{number:06}-{kind}-{parent.label}{suffix}"
        yield name, kind, MUTATIONS[kind].mutate(parent.data, rng)
