"""What mutations of all formats share: their register, odd numbers, and places in a file."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

# Sizes (width, height) that a header may claim; each format takes of them what its fields can hold.
SIZES = (
    (65535, 65535),
    (20000, 20000),
    (10000, 10000),
    (16383, 16383),
    (2**31 - 1, 2**31 - 1),
    (2**32 - 1, 2**32 - 1),
    (0, 0),
    (0, 100),
    (1, 2**31 - 1),
    (2**31 - 1, 1),
    (1, 65535),
    (65535, 1),
    (100_000, 5000),
    (1, 1),
)
NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    16,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
HEADERS = (64, 128, 256, 512)  # bytes that count as the header

Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Mutation:
    """One kind of mutation.

    suits: whether a parent can be mutated so. weight: how often it comes in each round.
    """

    mutate: Mutate
    suits: Callable[[bytes], bool]
    weight: int


def is_any(data: bytes) -> bool:
    return True


class Register(dict[str, Mutation]):
    """Kinds of mutation by name, in the order in which they were added."""

    def add(
        self, suits: Callable[[bytes], bool] = is_any, weight: int = 1
    ) -> Callable[[Mutate], Mutate]:
        """Register a function as the kind of mutation that its name says."""

        def register(mutate: Mutate) -> Mutate:
            self[mutate.__name__] = Mutation(mutate, suits, weight)
            return mutate

        return register


def anywhere(data: bytes, rng: Random) -> int:
    """Anywhere, at times near the beginning or the end: that is where it matters most."""
    if rng.random() < 0.3:
        near = min(len(data), 64)
        return rng.choice((rng.randrange(near), len(data) - 1 - rng.randrange(near)))
    return rng.randrange(len(data))


def span(data: bytes, rng: Random) -> tuple[int, int]:
    """Beginning and end of a block of up to 4 KB."""
    start = anywhere(data, rng)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 100, 512, 4096)))


def flipped(data: bytes, rng: Random, bits: int, end: int) -> bytes:
    out = bytearray(data)
    for _ in range(bits):
        out[rng.randrange(min(end, len(out)))] ^= 1 << rng.randrange(8)
    return bytes(out)


def mutated_block(block: bytes, rng: Random) -> bytes:
    """Of the same length; damaged in its first 600 bytes, or in all of it."""
    out = bytearray(block)
    for _ in range(rng.choice((1, 2, 5, 20))):
        place = rng.randrange(rng.choice((len(out), min(len(out), 600))))
        if rng.random() < 0.5 or place + 4 > len(out):
            out[place] = rng.randrange(256)
        else:
            struct.pack_into(rng.choice("<>") + "I", out, place, rng.choice(NUMBERS))
    return bytes(out)
