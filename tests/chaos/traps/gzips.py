"""Compressed tars whose compression is the trap."""

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from random import Random

from tests.chaos.bricks import deflated_zeros
from tests.chaos.traps.flips import flips
from tests.chaos.traps.tars import tar_around, tar_header


def gzips(good: Mapping[str, bytes], rng: Random) -> Iterator[tuple[str, bytes]]:
    """(trap, tar.gz) of what gzip can do."""
    tar = tar_around(good)
    whole = gzip.compress(tar, 6, mtime=0)
    parts = [
        gzip.compress(part, 6, mtime=0) for part in (tar[:700], b"", tar[700:5000], tar[5000:])
    ]
    for number, data in enumerate(
        flips(whole, rng, (0, 2, 3, 10, len(whole) // 2, len(whole) - 8, len(whole) - 4))
    ):
        yield f"gzip-flipped-{number}", data
    for number, end in enumerate((1, 5, 12, len(whole) // 2, len(whole) - 9, len(whole) - 3)):
        yield f"gzip-truncated-{number}", whole[:end]
    yield "gzip-streams", b"".join(parts)
    yield "gzip-streams-and-zeros", b"".join(parts) + bytes(1000)
    yield "gzip-noise-behind", whole + rng.randbytes(500)
    yield "gzip-another-tar-behind", whole + whole
    yield "gzip-in-gzip", gzip.compress(whole, 6, mtime=0)
    yield (
        "gzip-named",
        whole[:3] + b"\x1c" + whole[4:10] + b"\x04\0abcd" + b"../x.jpg\0" + b"note\0" + whole[10:],
    )
    yield "gzip-unended-name", whole[:3] + b"\x08" + whole[4:10] + b"x" * 100_000
    yield "gzip-many-streams", whole + gzip.compress(b"", mtime=0) * 3000
    yield "gzip-bomb", _gzip_bomb(good, 300_000_000)
    yield "gzip-no-bytes", b""


def _gzip_bomb(good: Mapping[str, bytes], size: int) -> bytes:
    """An image-named member of so many zeros, among the good pictures; each part is a stream of its
    own.
    """
    size -= size % 512
    whole = tar_around(good, tar_header(b"zeros.jpg", size))
    behind = whole.index(tar_header(b"zeros.jpg", size)) + 512
    checksum = 0
    for done in range(0, size, 1 << 20):
        checksum = zlib.crc32(bytes(min(1 << 20, size - done)), checksum)
    zeros = (
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
        + deflated_zeros(size, raw=True)
        + struct.pack("<2I", checksum, size)
    )
    return gzip.compress(whole[:behind], mtime=0) + zeros + gzip.compress(whole[behind:], mtime=0)
