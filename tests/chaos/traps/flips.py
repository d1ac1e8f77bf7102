"""Single bytes changed at telling places."""

from collections.abc import Iterator, Sequence
from random import Random


def flips(data: bytes, rng: Random, places: Sequence[int]) -> Iterator[bytes]:
    """The data with one byte changed, a few bytes behind each of the places."""
    for place in places:
        out = bytearray(data)
        out[(place + rng.randrange(8)) % len(out)] ^= rng.randrange(1, 256)
        yield bytes(out)
