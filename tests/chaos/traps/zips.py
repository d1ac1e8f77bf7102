"""Zips with a trap among good pictures."""

import functools
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

from tests.chaos.bricks import deflated_zeros, png_bomb_of, small_archive
from tests.chaos.traps.flips import flips
from tests.chaos.traps.names import (
    ABSOLUTE,
    DEEP,
    HARDLY_ANY,
    LONG,
    NOT_UTF8,
    ODD,
    UPWARDS,
    WINDOWS,
)
from tests.chaos.traps.zip_parts import (
    Zipped,
    packed_bytes,
    zip_around,
    zip_of,
)


def zips(good: Mapping[str, bytes], rng: Random) -> Iterator[tuple[str, bytes]]:
    """(trap, zip)."""
    picture = next(iter(good.values()))
    for trap, members in _zip_traps(picture):
        yield trap, zip_around(good, *members)
    whole = zip_around(good)
    directory, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    places = (
        0,
        6,
        14,
        22,
        26,
        100,
        directory,
        directory + 8,
        directory + 20,
        directory + 42,
        end,
        end + 8,
        end + 16,
    )
    for number, data in enumerate(flips(whole, rng, places)):
        yield f"flipped-{number}", data
    for number, cut in enumerate(
        (20, 500, directory - 10, directory + 30, end - 1, end + 10, len(whole) - 1)
    ):
        yield f"truncated-{number}", whole[:cut]
    yield from zip_end_traps(good, whole, directory, end)
    yield from zip_bombs(good, picture)


def _zip_traps(picture: bytes) -> Iterator[tuple[str, list[Zipped]]]:
    """(trap, members)."""
    names = {
        "absolute-names": ABSOLUTE,
        "upward-names": UPWARDS,
        "windows-names": WINDOWS,
        "names-not-utf8": NOT_UTF8,
        "odd-names": ODD,
        "hardly-names": (b"", *HARDLY_ANY),
        "names-with-nul": (b"a\0.jpg", b"a.jpg\0.txt"),
        "long-names": (LONG, b"y" * 60_000 + b".jpg"),
        "deep-names": (DEEP, b"../" * 200 + b"x.jpg"),
        "duplicate-names": (b"same.jpg", b"same.jpg", b"SAME.jpg", b"good-0.jpg"),
    }
    for trap, some in names.items():
        yield trap, [Zipped(name, picture) for name in some]
    plain = Zipped(b"x.jpg", picture)
    yield "names-utf8-flagged", [replace(plain, name="\u00e9.jpg".encode(), flags=0x800)]
    yield "names-wrongly-flagged", [replace(plain, name=b"\xff\xfe.jpg", flags=0x800)]
    yield (
        "names-in-extra",
        [
            replace(
                plain,
                extra=extra(0x7075, struct.pack("<BI", 1, zlib.crc32(b"x.jpg")) + b"../u.jpg"),
            )
        ],
    )
    yield (
        "empty-members",
        [Zipped(b"e.jpg", b"", stored=True), Zipped(b"e.png", b""), Zipped(b"e.txt", b"")],
    )
    kinds = {
        "symlink": 0o120777,
        "fifo": 0o010644,
        "device": 0o020644,
        "socket": 0o140644,
        "folder": 0o040755,
    }
    yield (
        "links-and-devices",
        [Zipped(f"{k}.jpg".encode(), b"/etc/passwd", mode=mode) for k, mode in kinds.items()],
    )
    yield (
        "folders-named-like-images",
        [Zipped(b"album.jpg/", b"", mode=0o040755), Zipped(b"album.jpg/x.jpg", picture)],
    )
    yield "folders-with-data", [Zipped(b"folder.jpg/", picture)]
    inner = zip_of([Zipped(b"../in.jpg", picture)])
    nested = {b"in.zip": inner, b"in.jpg": inner, b"tar.jpg": small_archive("tar")}
    yield "nested", [Zipped(name, data) for name, data in nested.items()]
    yield "nested-stored", [Zipped(name, data, stored=True) for name, data in nested.items()]
    yield from zip_field_traps(plain)
    yield from zip_size_traps(plain)


def extra(number: int, body: bytes) -> bytes:
    return struct.pack("<2H", number, len(body)) + body


def zip_field_traps(plain: Zipped) -> Iterator[tuple[str, list[Zipped]]]:
    yield "encrypted", [replace(plain, flags=1), replace(plain, name=b"strong.jpg", flags=0x41)]
    yield "encrypted-in-directory-only", [replace(plain, flags=0x2001)]
    yield (
        "methods",
        [
            replace(plain, name=b"m%d.jpg" % m, method=m)
            for m in (1, 6, 9, 12, 14, 93, 95, 99, 0xFFFF)
        ],
    )
    yield (
        "stored-said-deflated",
        [replace(plain, stored=True, method=8), replace(plain, name=b"y.jpg", method=0)],
    )
    yield "checksum-wrong", [replace(plain, checksum=1), replace(plain, name=b"y.jpg", checksum=0)]
    yield "checksum-wrong-in-local-header", [replace(plain, local_checksum=1)]
    yield (
        "names-disagree",
        [replace(plain, local_name=b"../other.jpg"), replace(plain, local_name=b"x" * 3000)],
    )
    yield "names-disagree-good", [replace(plain, local_name=b"good-0.jpg")]
    descriptors = {"bare": "2I", "signed": "s2I", "bare-zip64": "2Q", "signed-zip64": "s2Q"}
    for name, form in descriptors.items():
        stored = replace(plain, name=b"stored.jpg", stored=True, descriptor=form)
        yield f"descriptor-{name}", [replace(plain, descriptor=form), stored]
    yield "descriptor-missing", [replace(plain, flags=8, local_size=0, local_checksum=0)]
    signs = b"PK\3\4" * 20 + b"PK\7\x08" * 20 + b"PK\1\2" * 20 + b"PK\5\6" * 20
    yield (
        "signatures-in-payload",
        [
            Zipped(b"x.jpg", signs, stored=True, descriptor="s2I"),
            Zipped(b"y.bin", signs, stored=True),
        ],
    )
    yield (
        "extra-long",
        [
            replace(
                plain,
                local_extra=extra(0xCAFE, bytes(60_000)),
                extra=extra(0xCAFE, bytes(60_000)),
            )
        ],
    )
    yield "extra-broken", [replace(plain, extra=b"\x01\0\xff\xff\0", local_extra=b"\xff")]
    yield "comments", [replace(plain, comment=b"<script>alert(1)</script>\n\xff" * 100)]
    yield (
        "offset-beyond",
        [replace(plain, offset=0x7FFFFFFF), replace(plain, name=b"y.jpg", offset=3)],
    )
    yield "offset-most", [replace(plain, offset=0xFFFFFFFF)]
    far = {"5g": 5 << 30, "2e63": 2**63 - 1, "2e64": 2**64 - 1}
    for name, place in far.items():
        yield (
            f"offset-zip64-{name}",
            [replace(plain, offset=0xFFFFFFFF, extra=extra(1, struct.pack("<Q", place)))],
        )
    yield (
        "deflate-broken",
        [replace(plain, packed=b"\xff" * 500), replace(plain, name=b"y.jpg", packed=b"")],
    )
    yield "deflate-cut", [replace(plain, packed=packed_bytes(plain)[:-100])]
    yield "deflate-and-more", [replace(plain, packed=packed_bytes(plain) + bytes(1000))]


def zip_size_traps(plain: Zipped) -> Iterator[tuple[str, list[Zipped]]]:
    giant = struct.pack("<2Q", 5 << 30, 5 << 30)
    most = struct.pack("<2Q", 2**64 - 1, 2**63)
    unset = replace(plain, size=0xFFFFFFFF, packed_size=0xFFFFFFFF)
    yield "size-too-small", [replace(plain, size=100)]
    yield "size-too-large", [replace(plain, size=1 << 29)]
    yield "size-3g", [replace(plain, size=3 << 30)]
    yield "size-4g", [unset]
    yield "size-zip64-5g", [replace(unset, extra=extra(1, giant))]
    yield "size-zip64-most", [replace(unset, extra=extra(1, most))]
    yield (
        "size-zip64-2e63",
        [replace(unset, extra=extra(1, struct.pack("<2Q", 2**63 - 1, 2**63 - 1)))],
    )
    packed_most = extra(1, struct.pack("<Q", 2**63 - 1))
    yield "packed-size-zip64-2e63", [replace(plain, packed_size=0xFFFFFFFF, extra=packed_most)]
    yield "size-zip64-short", [replace(unset, extra=extra(1, giant[:5]))]
    true = struct.pack("<2Q", len(plain.data), len(packed_bytes(plain)))
    yield "size-zip64-true", [replace(unset, extra=extra(1, true), local_extra=extra(1, true))]
    yield "packed-size-too-small", [replace(plain, packed_size=50)]
    yield "packed-size-too-large", [replace(plain, packed_size=1 << 27)]
    yield "packed-size-3g", [replace(plain, packed_size=3 << 30, stored=True, size=3 << 30)]
    yield "sizes-zero", [replace(plain, packed_size=0, size=0)]
    yield (
        "local-sizes-disagree",
        [replace(plain, local_size=1), replace(plain, name=b"y.jpg", local_size=1 << 30)],
    )


def zip_end_traps(
    good: Mapping[str, bytes], whole: bytes, directory: int, end: int
) -> Iterator[tuple[str, bytes]]:
    """What can be wrong with a zip's end, and before its beginning."""
    members = [Zipped(name.encode(), data) for name, data in good.items()]
    yield "prefix", zip_of(members, prefix=b"#!/bin/sh\n" * 100)
    yield "prefix-of-a-zip", zip_of(members, prefix=zip_of([Zipped(b"first.jpg", b"first")]))
    yield "trailing-bytes", whole + b"behind the end" * 50
    yield "trailing-zeros", whole + bytes(70_000)
    yield (
        "comment-of-signatures",
        zip_of(members, comment=b"PK\5\6" + bytes(18) + b"PK\1\2" * 10 + b"PK\3\4"),
    )
    yield "comment-of-an-end", zip_of(members, comment=b"PK\5\6" + bytes(16) + b"\0\0")
    yield "comment-longest", zip_of(members, comment=b"c" * 65535)
    yield "count-too-small", zip_of(members, count=1)
    yield "count-too-large", zip_of(members, count=0xFFFF)
    zip64 = struct.pack(
        "<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2**40, 2**40, end - directory, directory
    )
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    unset = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    yield "zip64-count", whole[:end] + zip64 + locator + unset
    yield (
        "zip64-sizes",
        whole[:end] + zip64[:40] + struct.pack("<2Q", 2**62, 2**62) + locator + unset,
    )
    yield (
        "zip64-nowhere",
        whole[:end] + zip64 + struct.pack("<4sIQI", b"PK\6\7", 0, 2**62, 1) + unset,
    )
    yield (
        "directory-giant",
        whole[: end + 12] + struct.pack("<2I", 0xFFFFFFF0, directory) + whole[end + 20 :],
    )
    yield "directory-elsewhere", whole[: end + 16] + struct.pack("<I", 10) + whole[end + 20 :]
    yield "empty", zip_of([])
    yield "no-bytes", b""


def zip_bombs(good: Mapping[str, bytes], picture: bytes) -> Iterator[tuple[str, bytes]]:
    def zeros(name: bytes, size: int) -> Zipped:
        checksum = functools.reduce(
            lambda so_far, _: zlib.crc32(bytes(1_000_000), so_far), range(size // 1_000_000), 0
        )
        return Zipped(
            name, b"", packed=deflated_zeros(size, raw=True), checksum=checksum, size=size
        )

    yield "bomb-of-zeros", zip_around(good, zeros(b"zeros.jpg", 200_000_000))
    yield "bomb-that-lies", zip_around(good, replace(zeros(b"zeros.jpg", 200_000_000), size=1000))
    yield "bomb-picture", zip_around(good, Zipped(b"bomb.png", png_bomb_of(12000, 12000, (8, 0))))
    yield "bomb-of-other", zip_around(good, zeros(b"zeros.bin", 200_000_000))
    first = Zipped(b"one.jpg", picture)
    again = [replace(first, name=b"one-%d.jpg" % number, at_last=True) for number in range(300)]
    yield "overlapping", zip_around(good, first, *again)
    first = zeros(b"one.jpg", 20_000_000)
    again = [replace(first, name=b"one-%d.jpg" % number, at_last=True) for number in range(50)]
    yield "overlapping-bomb", zip_around(good, first, *again)
    many = [Zipped(b"%d.txt" % number, b"", stored=True) for number in range(30_000)]
    yield "many-members", zip_around(good, *many)
