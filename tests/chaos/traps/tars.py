"""Tars with a trap among good pictures."""

import gzip
import struct
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from tests.chaos.bricks import png_bomb_of, small_archive
from tests.chaos.traps.flips import flips
from tests.chaos.traps.names import (
    ABSOLUTE,
    DEEP,
    HARDLY_ANY,
    LONG,
    NOT_UTF8,
    ODD,
    OLD,
    UPWARDS,
    WINDOWS,
)


def tar_header(name: bytes, size: int | bytes, kind: bytes = b"0", link: bytes = b"") -> bytes:
    """`size` as bytes: the field as it shall stand."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    facts = (
        b"0000640\0",
        b"0002322\0",
        b"0000143\0",
        field,
        b"%011o\0" % OLD,
        b" " * 8,
        kind,
        link,
    )
    owner = (b"ustar\0", b"00", b"archivist", b"library", b"0000001\0", b"0000003\0")
    return checksummed(
        struct.pack("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s167x", name, *facts, *owner)
    )


def checksummed(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def tar_member(
    name: bytes, data: bytes = b"", kind: bytes = b"0", link: bytes = b"", size: bytes | None = None
) -> bytes:
    """Header and payload; a name that does not fit has a GNU header of its own before it."""
    long = tar_member(b"././@LongLink", name + b"\0", b"L") if len(name) > 100 else b""
    return (
        long
        + tar_header(name[:100], len(data) if size is None else size, kind, link)
        + padded(data)
    )


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(records: Mapping[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header that the next member has, or with `g` all that follow."""
    return tar_member(
        b"pax", b"".join(pax_record(key, value) for key, value in records.items()), kind
    )


def pax_record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest + len(str(rest))))
    return b"%d %s=%s\n" % (length, key, value)


def tar_of(members: Sequence[bytes]) -> bytes:
    return b"".join(members) + bytes(1024)


def tar_around(good: Mapping[str, bytes], *trap: bytes) -> bytes:
    """A tar with half of the good pictures before the trap and half behind it."""
    members = [tar_member(name.encode(), data) for name, data in good.items()]
    return tar_of([*members[:2], *trap, *members[2:]])


def tars(good: Mapping[str, bytes], rng: Random) -> Iterator[tuple[str, bytes]]:
    """(trap, tar) of all that a tar can do, compressed or not."""
    picture = next(iter(good.values()))
    for trap, members in _tar_traps(picture):
        yield trap, tar_around(good, *members)
    whole = tar_around(good)
    second = 512 + len(padded(picture))
    for number, data in enumerate(
        flips(whole, rng, (0, 100, 124, 148, 156, 257, second, second + 124, second + 148))
    ):
        yield f"flipped-{number}", data
    for number, end in enumerate(
        (100, 512, second - 50, second + 200, second + 900, len(whole) - 1500)
    ):
        yield f"truncated-{number}", whole[:end]
    yield "no-end", whole[:-1024]
    yield "pax-at-the-end", whole[:-1024] + pax({b"path": b"nothing.jpg"}) + bytes(1024)
    yield "zeros-behind", whole + bytes(100_000)
    yield "noise-behind", whole + rng.randbytes(3000)
    yield "tar-behind", whole + whole
    yield (
        "bomb-picture",
        tar_around(good, tar_member(b"bomb.png", png_bomb_of(12000, 12000, (8, 0)))),
    )
    yield "empty", bytes(10240)
    yield "one-zero-block", bytes(512)
    yield "no-bytes", b""


def _tar_traps(picture: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """(trap, members)."""
    names = {
        "absolute-names": ABSOLUTE,
        "upward-names": UPWARDS,
        "windows-names": WINDOWS,
        "names-not-utf8": NOT_UTF8,
        "odd-names": ODD,
        "hardly-names": (b"", *HARDLY_ANY),
        "long-names": (LONG, b"a/" + LONG, b"y" * 60_000 + b".jpg"),
        "deep-names": (DEEP, b"../" * 200 + b"x.jpg"),
        "duplicate-names": (b"same.jpg", b"same.jpg", b"SAME.jpg", b"./same.jpg", b"good-0.jpg"),
    }
    for trap, some in names.items():
        yield trap, [tar_member(name, picture) for name in some]
    yield from _tar_extension_traps(picture)
    yield from _tar_size_traps(picture)
    yield from _tar_kind_traps(picture)


def _tar_extension_traps(picture: bytes) -> Iterator[tuple[str, list[bytes]]]:
    member = tar_member(b"x.jpg", picture)
    yield (
        "pax-names",
        [
            pax({b"path": name}) + member
            for name in (*ABSOLUTE, *UPWARDS, *ODD, *NOT_UTF8, LONG, DEEP)
        ],
    )
    yield "pax-name-with-nul", [pax({b"path": b"a\0b.jpg"}) + member]
    yield "pax-binary-name", [pax({b"hdrcharset": b"BINARY", b"path": b"caf\xe9.jpg"}) + member]
    yield (
        "pax-nonsense-values",
        [pax({b"mtime": b"nan", b"uid": b"-1", b"atime": b"1e999", b"gid": b"x"}) + member],
    )
    yield "pax-global-name", [pax({b"path": b"all.jpg", b"comment": b"c" * 100_000}, b"g")]
    for number, record in enumerate(
        (b"5 a=b\n", b"-3 a=b\n", b"99999999 a=b\n", b"0 a=b\n", b"nonsense", b"\xff" * 600)
    ):
        yield f"pax-broken-{number}", [tar_member(b"pax", record, b"x") + member]
    yield "pax-many", [pax({b"a%d" % i: b"b" for i in range(20_000)}) + member]
    yield (
        "long-name-unended",
        [tar_header(b"././@LongLink", 10, b"L") + padded(b"no-nul.jpg") + member],
    )
    yield "long-name-of-nothing", [tar_header(b"././@LongLink", 0, b"L") + member]
    yield "long-names-chained", [tar_member(b"././@LongLink", b"n.jpg\0", b"L") * 300 + member]
    yield "long-names-endless", [tar_member(b"././@LongLink", b"n.jpg\0", b"L") * 5000 + member]


def _tar_size_traps(picture: bytes) -> Iterator[tuple[str, list[bytes]]]:
    fields = {
        "octal-8g": b"77777777777\0",
        "octal-12-digits": b"777777777777",
        "binary-5g": b"\x80" + (5 << 30).to_bytes(11, "big"),
        "binary-most": b"\x80" + b"\xff" * 11,
        "binary-negative": b"\xff" * 12,
        "letters": b"zzzzzzzzzzz\0",
        "blank": b" " * 12,
        "minus": b"-0000000001\0",
        "too-small": b"%011o\0" % 100,
        "too-large": b"%011o\0" % (len(picture) + 700),
    }
    for name, field in fields.items():
        yield f"size-{name}", [tar_member(b"x.jpg", picture, size=field)]
    for number, size in enumerate((b"5000000000", b"-1", b"1e9", b"", b"0", b"\xd9\xa3")):
        yield f"pax-size-{number}", [pax({b"size": size}) + tar_member(b"x.jpg", picture)]
    giant = b"%011o\0" % (1 << 32)
    yield "pax-giant", [tar_header(b"pax", giant, b"x") + tar_member(b"x.jpg", picture)]
    yield (
        "long-name-giant",
        [tar_header(b"././@LongLink", giant, b"L") + tar_member(b"x.jpg", picture)],
    )
    yield "empty-members", [tar_member(name) for name in (b"e.jpg", b"e.png", b"e.tif", b"e.txt")]
    yield "noise-between", [padded(picture[200:900])]
    yield "zeros-between", [bytes(512)]
    yield (
        "checksum-wrong",
        [tar_header(b"x.jpg", 0)[:148] + b"0000000\0" + tar_header(b"x.jpg", 0)[156:]],
    )
    yield (
        "before-ustar",
        [checksummed(tar_header(b"x.jpg", len(picture))[:257] + bytes(255)) + padded(picture)],
    )


def _tar_kind_traps(picture: bytes) -> Iterator[tuple[str, list[bytes]]]:
    targets = (b"/etc/passwd", b"../../x", b"self.jpg", b"good-0.jpg", b"nowhere.jpg", b"")
    yield (
        "symlinks",
        [tar_member(b"s%d.jpg" % i, kind=b"2", link=to) for i, to in enumerate(targets)],
    )
    yield (
        "hardlinks",
        [tar_member(b"h%d.jpg" % i, kind=b"1", link=to) for i, to in enumerate(targets)],
    )
    yield "hardlinks-with-data", [tar_member(b"h.jpg", picture, b"1", b"good-0.jpg")]
    through = tar_member(b"way", kind=b"2", link=b"/tmp") + tar_member(b"way/x.jpg", picture)
    yield "through-a-symlink", [through]
    yield (
        "devices",
        [tar_member(b"d%d.jpg" % i, kind=kind) for i, kind in enumerate((b"3", b"4", b"6", b"7"))],
    )
    yield (
        "devices-with-data",
        [tar_member(b"d%d.jpg" % i, picture, kind) for i, kind in enumerate((b"3", b"6"))],
    )
    yield (
        "kinds-unknown",
        [
            tar_member(b"k%d.jpg" % i, picture, kind)
            for i, kind in enumerate((b"Z", b"V", b"D", b"\0"))
        ],
    )
    folder = tar_member(b"album.jpg/", kind=b"5") + tar_member(b"album.jpg/x.jpg", picture)
    yield "folders-named-like-images", [folder, tar_member(b"folder.png", kind=b"5")]
    yield "folders-with-data", [tar_member(b"folder.jpg/", picture, b"5")]
    inner = tar_of([tar_member(b"../in.jpg", picture)])
    packed = gzip.compress(inner, mtime=0)
    nested = {
        b"in.tar": inner,
        b"in.jpg": inner,
        b"in.tar.gz": packed,
        b"gz.jpg": packed,
        b"zip.jpg": small_archive("zip"),
    }
    yield "nested", [tar_member(name, data) for name, data in nested.items()]
    yield "sparse-old", [_old_sparse(picture, len(picture) + 10_000)]
    yield "sparse-old-giant", [_old_sparse(picture, 1 << 33)]
    yield "sparse-old-nonsense", [_old_sparse(picture, 10, b"zzzz")]
    for number, heading in enumerate(
        (b"1\n0\n%d\n" % len(picture), b"1\n", b"nonsense\n", b"99999999999\n")
    ):
        yield f"sparse-pax-{number}", [_pax_sparse(picture, heading, len(picture))]
    yield "sparse-pax-giant", [_pax_sparse(picture, b"1\n0\n%d\n" % len(picture), 1 << 40)]
    for number, chart in enumerate((b"0,10", b"0,10,20", b"a,b", b",", b"0,99999999999999999999")):
        records = {
            b"GNU.sparse.map": chart,
            b"GNU.sparse.size": b"100",
            b"GNU.sparse.name": b"x.jpg",
        }
        yield f"sparse-pax-map-{number}", [pax(records) + tar_member(b"x.jpg", picture)]


def _old_sparse(picture: bytes, size: int, first: bytes = b"00000000000") -> bytes:
    """GNU's older way: the map in the header, here of one piece behind a hole."""
    header = bytearray(tar_header(b"sparse.jpg", len(picture), b"S"))
    header[257:265] = b"ustar  \0"
    header[386:410] = struct.pack("12s12s", first, b"%011o" % len(picture))
    header[483:495] = struct.pack(
        "12s", b"%011o" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    )
    return checksummed(bytes(header)) + padded(picture)


def _pax_sparse(picture: bytes, heading: bytes, size: int) -> bytes:
    """GNU's newer way: the map at the head of the payload."""
    records = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": b"sparse.jpg",
    }
    records[b"GNU.sparse.realsize"] = b"%d" % size
    return pax(records) + tar_member(b"GNUSparseFile/sparse.jpg", padded(heading) + picture)
