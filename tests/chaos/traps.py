"""Archives and folders with a trap among good pictures, some 350 of them in five seconds."""

import functools
import gzip
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.chaos.parents import deflated_zeros, good_pictures, png_bomb_of, small_archive

# Names that archives must not trust

_ABSOLUTE = (b"/x.jpg", b"//x.jpg", b"///tmp/x.jpg", b"/")
_UPWARDS = (
    b"../x.jpg",
    b"a/../../x.jpg",
    b"a/..",
    b"..",
    b"./../x.jpg",
    b"a/b/../../../x.jpg",
    b"..\\x.jpg",
)
_WINDOWS = (
    b"C:\\x.jpg",
    b"C:/x.jpg",
    b"\\\\host\\x.jpg",
    b"CON.jpg",
    b"x.jpg.",
    b"x.jpg ",
    b"x.jpg:stream",
    b"a|b?.jpg",
)
_NOT_UTF8 = (
    b"caf\xe9.jpg",
    b"\xff\xfe.jpg",
    b"\xed\xa0\x80.jpg",
    b"\xc0\xaf..\xc0\xaf.jpg",
    b"\x93\xfa\x96{.jpg",
)
_ODD = (
    b"new\nline.jpg",
    b"tab\tand\rreturn.jpg",
    b"bell\x07.jpg",
    b"\x1b[31mred\x1b[0m.jpg",
    b"<img src=x onerror=alert(1)>.jpg",
    b"</script><script>alert(1)</script>.jpg",
    b"{{ 7*7 }}.jpg",
    b"'; DROP TABLE images; --.jpg",
    b'"quoted".jpg',
    b"=1+1.jpg",
    b"$(touch x).jpg",
    b"%s%n.jpg",
    "\u202egpj.right-to-left.jpg".encode(),
    "e\u0301 and \u00e9.jpg".encode(),
    "\U0001f408.jpg".encode(),
    b"-rf.jpg",
    b" .jpg",
)
_HARDLY_ANY = (
    b".jpg",
    b".",
    b"./",
    b"..jpg",
    b"a/.jpg",
    b"a//b.jpg",
    b"./x.jpg",
    b"a/./x.jpg",
    b"x.jpg/",
)
_LONG = b"x" * 300 + b".jpg"
_DEEP = b"d/" * 2000 + b"x.jpg"

_OLD = 1_000_000_000  # seconds since 1970, the time of all members


def hostile_archives(folder: Path, seed: int) -> dict[str, Path]:
    """Make archives and folders in `folder`; by kind, the archive or folder.

    In each of them but those that hold nothing, the `good_pictures` of the seed stand before and
    behind the trap.
    """
    folder.mkdir(parents=True, exist_ok=True)
    good, rng = good_pictures(seed), Random(seed)
    files: dict[str, tuple[str, bytes]] = {}
    for trap, tar in _tars(good, rng):
        files[f"tar-{trap}"] = (".tar", tar)
        files[f"tar.gz-{trap}"] = (".tar.gz", gzip.compress(tar, 6, mtime=0))
    files |= {f"tar.gz-{trap}": (".tgz", data) for trap, data in _gzips(good, rng)}
    files |= {f"zip-{trap}": (".zip", data) for trap, data in _zips(good, rng)}
    files |= {
        f"no-archive-{suffix[1:]}-{what}": (suffix, data) for suffix, what, data in _misnamed(good)
    }
    paths = {kind: folder / f"{kind}{suffix}" for kind, (suffix, _) in files.items()}
    for kind, path in paths.items():
        path.write_bytes(files[kind][1])
    return paths | _folders(folder, good)


def _flips(data: bytes, rng: Random, places: Sequence[int]) -> Iterator[bytes]:
    """The data with one byte changed, a few bytes behind each of the places."""
    for place in places:
        out = bytearray(data)
        out[(place + rng.randrange(8)) % len(out)] ^= rng.randrange(1, 256)
        yield bytes(out)


# Tars


def _tar_header(name: bytes, size: int | bytes, kind: bytes = b"0", link: bytes = b"") -> bytes:
    """`size` as bytes: the field as it shall stand."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    facts = (
        b"0000640\0",
        b"0002322\0",
        b"0000143\0",
        field,
        b"%011o\0" % _OLD,
        b" " * 8,
        kind,
        link,
    )
    owner = (b"ustar\0", b"00", b"archivist", b"library", b"0000001\0", b"0000003\0")
    return _checksummed(
        struct.pack("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s167x", name, *facts, *owner)
    )


def _checksummed(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def _tar_member(
    name: bytes, data: bytes = b"", kind: bytes = b"0", link: bytes = b"", size: bytes | None = None
) -> bytes:
    """Header and payload; a name that does not fit has a GNU header of its own before it."""
    long = _tar_member(b"././@LongLink", name + b"\0", b"L") if len(name) > 100 else b""
    return (
        long
        + _tar_header(name[:100], len(data) if size is None else size, kind, link)
        + _padded(data)
    )


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def _pax(records: Mapping[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header that the next member has, or with `g` all that follow."""
    return _tar_member(
        b"pax", b"".join(_pax_record(key, value) for key, value in records.items()), kind
    )


def _pax_record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest + len(str(rest))))
    return b"%d %s=%s\n" % (length, key, value)


def _tar(members: Sequence[bytes]) -> bytes:
    return b"".join(members) + bytes(1024)


def _tar_around(good: Mapping[str, bytes], *trap: bytes) -> bytes:
    """A tar with half of the good pictures before the trap and half behind it."""
    members = [_tar_member(name.encode(), data) for name, data in good.items()]
    return _tar([*members[:2], *trap, *members[2:]])


def _tars(good: Mapping[str, bytes], rng: Random) -> Iterator[tuple[str, bytes]]:
    """(trap, tar) of all that a tar can do, compressed or not."""
    picture = next(iter(good.values()))
    for trap, members in _tar_traps(picture):
        yield trap, _tar_around(good, *members)
    whole = _tar_around(good)
    second = 512 + len(_padded(picture))
    for number, data in enumerate(
        _flips(whole, rng, (0, 100, 124, 148, 156, 257, second, second + 124, second + 148))
    ):
        yield f"flipped-{number}", data
    for number, end in enumerate(
        (100, 512, second - 50, second + 200, second + 900, len(whole) - 1500)
    ):
        yield f"truncated-{number}", whole[:end]
    yield "no-end", whole[:-1024]
    yield "pax-at-the-end", whole[:-1024] + _pax({b"path": b"nothing.jpg"}) + bytes(1024)
    yield "zeros-behind", whole + bytes(100_000)
    yield "noise-behind", whole + rng.randbytes(3000)
    yield "tar-behind", whole + whole
    yield (
        "bomb-picture",
        _tar_around(good, _tar_member(b"bomb.png", png_bomb_of(12000, 12000, (8, 0)))),
    )
    yield "empty", bytes(10240)
    yield "one-zero-block", bytes(512)
    yield "no-bytes", b""


def _tar_traps(picture: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """(trap, members)."""
    names = {
        "absolute-names": _ABSOLUTE,
        "upward-names": _UPWARDS,
        "windows-names": _WINDOWS,
        "names-not-utf8": _NOT_UTF8,
        "odd-names": _ODD,
        "hardly-names": (b"", *_HARDLY_ANY),
        "long-names": (_LONG, b"a/" + _LONG, b"y" * 60_000 + b".jpg"),
        "deep-names": (_DEEP, b"../" * 200 + b"x.jpg"),
        "duplicate-names": (b"same.jpg", b"same.jpg", b"SAME.jpg", b"./same.jpg", b"good-0.jpg"),
    }
    for trap, some in names.items():
        yield trap, [_tar_member(name, picture) for name in some]
    yield from _tar_extension_traps(picture)
    yield from _tar_size_traps(picture)
    yield from _tar_kind_traps(picture)


def _tar_extension_traps(picture: bytes) -> Iterator[tuple[str, list[bytes]]]:
    member = _tar_member(b"x.jpg", picture)
    yield (
        "pax-names",
        [
            _pax({b"path": name}) + member
            for name in (*_ABSOLUTE, *_UPWARDS, *_ODD, *_NOT_UTF8, _LONG, _DEEP)
        ],
    )
    yield "pax-name-with-nul", [_pax({b"path": b"a\0b.jpg"}) + member]
    yield "pax-binary-name", [_pax({b"hdrcharset": b"BINARY", b"path": b"caf\xe9.jpg"}) + member]
    yield (
        "pax-nonsense-values",
        [_pax({b"mtime": b"nan", b"uid": b"-1", b"atime": b"1e999", b"gid": b"x"}) + member],
    )
    yield "pax-global-name", [_pax({b"path": b"all.jpg", b"comment": b"c" * 100_000}, b"g")]
    for number, record in enumerate(
        (b"5 a=b\n", b"-3 a=b\n", b"99999999 a=b\n", b"0 a=b\n", b"nonsense", b"\xff" * 600)
    ):
        yield f"pax-broken-{number}", [_tar_member(b"pax", record, b"x") + member]
    yield "pax-many", [_pax({b"a%d" % i: b"b" for i in range(20_000)}) + member]
    yield (
        "long-name-unended",
        [_tar_header(b"././@LongLink", 10, b"L") + _padded(b"no-nul.jpg") + member],
    )
    yield "long-name-of-nothing", [_tar_header(b"././@LongLink", 0, b"L") + member]
    yield "long-names-chained", [_tar_member(b"././@LongLink", b"n.jpg\0", b"L") * 300 + member]
    yield "long-names-endless", [_tar_member(b"././@LongLink", b"n.jpg\0", b"L") * 5000 + member]


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
        yield f"size-{name}", [_tar_member(b"x.jpg", picture, size=field)]
    for number, size in enumerate((b"5000000000", b"-1", b"1e9", b"", b"0", b"\xd9\xa3")):
        yield f"pax-size-{number}", [_pax({b"size": size}) + _tar_member(b"x.jpg", picture)]
    giant = b"%011o\0" % (1 << 32)
    yield "pax-giant", [_tar_header(b"pax", giant, b"x") + _tar_member(b"x.jpg", picture)]
    yield (
        "long-name-giant",
        [_tar_header(b"././@LongLink", giant, b"L") + _tar_member(b"x.jpg", picture)],
    )
    yield "empty-members", [_tar_member(name) for name in (b"e.jpg", b"e.png", b"e.tif", b"e.txt")]
    yield "noise-between", [_padded(picture[200:900])]
    yield "zeros-between", [bytes(512)]
    yield (
        "checksum-wrong",
        [_tar_header(b"x.jpg", 0)[:148] + b"0000000\0" + _tar_header(b"x.jpg", 0)[156:]],
    )
    yield (
        "before-ustar",
        [_checksummed(_tar_header(b"x.jpg", len(picture))[:257] + bytes(255)) + _padded(picture)],
    )


def _tar_kind_traps(picture: bytes) -> Iterator[tuple[str, list[bytes]]]:
    targets = (b"/etc/passwd", b"../../x", b"self.jpg", b"good-0.jpg", b"nowhere.jpg", b"")
    yield (
        "symlinks",
        [_tar_member(b"s%d.jpg" % i, kind=b"2", link=to) for i, to in enumerate(targets)],
    )
    yield (
        "hardlinks",
        [_tar_member(b"h%d.jpg" % i, kind=b"1", link=to) for i, to in enumerate(targets)],
    )
    yield "hardlinks-with-data", [_tar_member(b"h.jpg", picture, b"1", b"good-0.jpg")]
    through = _tar_member(b"way", kind=b"2", link=b"/tmp") + _tar_member(b"way/x.jpg", picture)
    yield "through-a-symlink", [through]
    yield (
        "devices",
        [_tar_member(b"d%d.jpg" % i, kind=kind) for i, kind in enumerate((b"3", b"4", b"6", b"7"))],
    )
    yield (
        "devices-with-data",
        [_tar_member(b"d%d.jpg" % i, picture, kind) for i, kind in enumerate((b"3", b"6"))],
    )
    yield (
        "kinds-unknown",
        [
            _tar_member(b"k%d.jpg" % i, picture, kind)
            for i, kind in enumerate((b"Z", b"V", b"D", b"\0"))
        ],
    )
    folder = _tar_member(b"album.jpg/", kind=b"5") + _tar_member(b"album.jpg/x.jpg", picture)
    yield "folders-named-like-images", [folder, _tar_member(b"folder.png", kind=b"5")]
    yield "folders-with-data", [_tar_member(b"folder.jpg/", picture, b"5")]
    inner = _tar([_tar_member(b"../in.jpg", picture)])
    packed = gzip.compress(inner, mtime=0)
    nested = {
        b"in.tar": inner,
        b"in.jpg": inner,
        b"in.tar.gz": packed,
        b"gz.jpg": packed,
        b"zip.jpg": small_archive("zip"),
    }
    yield "nested", [_tar_member(name, data) for name, data in nested.items()]
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
        yield f"sparse-pax-map-{number}", [_pax(records) + _tar_member(b"x.jpg", picture)]


def _old_sparse(picture: bytes, size: int, first: bytes = b"00000000000") -> bytes:
    """GNU's older way: the map in the header, here of one piece behind a hole."""
    header = bytearray(_tar_header(b"sparse.jpg", len(picture), b"S"))
    header[257:265] = b"ustar  \0"
    header[386:410] = struct.pack("12s12s", first, b"%011o" % len(picture))
    header[483:495] = struct.pack(
        "12s", b"%011o" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    )
    return _checksummed(bytes(header)) + _padded(picture)


def _pax_sparse(picture: bytes, heading: bytes, size: int) -> bytes:
    """GNU's newer way: the map at the head of the payload."""
    records = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": b"sparse.jpg",
    }
    records[b"GNU.sparse.realsize"] = b"%d" % size
    return _pax(records) + _tar_member(b"GNUSparseFile/sparse.jpg", _padded(heading) + picture)


def _gzips(good: Mapping[str, bytes], rng: Random) -> Iterator[tuple[str, bytes]]:
    """(trap, tar.gz) of what gzip can do."""
    tar = _tar_around(good)
    whole = gzip.compress(tar, 6, mtime=0)
    parts = [
        gzip.compress(part, 6, mtime=0) for part in (tar[:700], b"", tar[700:5000], tar[5000:])
    ]
    for number, data in enumerate(
        _flips(whole, rng, (0, 2, 3, 10, len(whole) // 2, len(whole) - 8, len(whole) - 4))
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
    whole = _tar_around(good, _tar_header(b"zeros.jpg", size))
    behind = whole.index(_tar_header(b"zeros.jpg", size)) + 512
    checksum = 0
    for done in range(0, size, 1 << 20):
        checksum = zlib.crc32(bytes(min(1 << 20, size - done)), checksum)
    zeros = (
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
        + deflated_zeros(size, raw=True)
        + struct.pack("<2I", checksum, size)
    )
    return gzip.compress(whole[:behind], mtime=0) + zeros + gzip.compress(whole[behind:], mtime=0)


# Zips


@dataclass(frozen=True)
class _Zipped:
    """A zip member, and what its headers say of it where that is not so. None: they say what is
    so.
    """

    name: bytes
    data: bytes
    stored: bool = False
    packed: bytes | None = None
    method: int | None = None
    flags: int = 0
    checksum: int | None = None
    size: int | None = None
    packed_size: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    local_checksum: int | None = None
    extra: bytes = b""  # in the directory
    local_extra: bytes = b""
    comment: bytes = b""
    mode: int = 0o100640
    # format of sizes behind the payload; signed if it begins with "s"
    descriptor: str | None = None
    at_last: bool = False  # it has no header of its own, but that of the member before
    offset: int | None = None


def _told(said: int | None, true: int) -> int:
    return true if said is None else said


def _packed(member: _Zipped) -> bytes:
    if member.packed is not None or member.stored:
        return member.data if member.packed is None else member.packed
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(member.data) + packer.flush()


def _zip_headers(member: _Zipped, packed: bytes, offset: int) -> tuple[bytes, bytes]:
    """(local header, entry of the directory)."""
    flags = member.flags | (8 if member.descriptor else 0)
    method = _told(member.method, 0 if member.stored else 8)
    checksum = _told(member.checksum, zlib.crc32(member.data))
    sizes = (_told(member.packed_size, len(packed)), _told(member.size, len(member.data)))
    name = member.local_name if member.local_name is not None else member.name
    local_sizes = (_told(member.local_size, sizes[0]), _told(member.local_size, sizes[1]))
    local_facts = (
        (0, 0, 0) if member.descriptor else (_told(member.local_checksum, checksum), *local_sizes)
    )
    when = (0x2102, 0x2A43)
    local = struct.pack(
        "<4s5H3I2H",
        b"PK\3\4",
        20,
        flags,
        method,
        *when,
        *local_facts,
        len(name),
        len(member.local_extra),
    )
    lengths = (len(member.name), len(member.extra), len(member.comment))
    entry = struct.pack(
        "<4s6H3I3H", b"PK\1\2", 0x31E, 20, flags, method, *when, checksum, *sizes, *lengths
    )
    entry += struct.pack("<2H2I", 0, 0, member.mode << 16, _told(member.offset, offset))
    return local + name + member.local_extra, entry + member.name + member.extra + member.comment


def _zip(
    members: Sequence[_Zipped], comment: bytes = b"", prefix: bytes = b"", count: int | None = None
) -> bytes:
    """A zip of these members behind a prefix that its offsets do not know of."""
    out, directory, last = bytearray(), bytearray(), 0
    for member in members:
        packed = _packed(member)
        last = last if member.at_last else len(out)
        local, entry = _zip_headers(member, packed, last)
        directory += entry
        if not member.at_last:
            out += local + packed
        if member.descriptor:
            signed = member.descriptor.startswith("s")
            form = "<I" + member.descriptor.lstrip("s")
            out += (b"PK\7\x08" if signed else b"") + struct.pack(
                form, zlib.crc32(member.data), len(packed), len(member.data)
            )
    said = min(0xFFFF, _told(count, len(members)))
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, said, said, len(directory), len(out), len(comment)
    )
    return prefix + bytes(out) + bytes(directory) + end + comment


def _zip_around(good: Mapping[str, bytes], *trap: _Zipped) -> bytes:
    members = [
        _Zipped(name.encode(), data, stored=number % 2 == 0)
        for number, (name, data) in enumerate(good.items())
    ]
    return _zip([*members[:2], *trap, *members[2:]])


def _zips(good: Mapping[str, bytes], rng: Random) -> Iterator[tuple[str, bytes]]:
    """(trap, zip)."""
    picture = next(iter(good.values()))
    for trap, members in _zip_traps(picture):
        yield trap, _zip_around(good, *members)
    whole = _zip_around(good)
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
    for number, data in enumerate(_flips(whole, rng, places)):
        yield f"flipped-{number}", data
    for number, cut in enumerate(
        (20, 500, directory - 10, directory + 30, end - 1, end + 10, len(whole) - 1)
    ):
        yield f"truncated-{number}", whole[:cut]
    yield from _zip_end_traps(good, whole, directory, end)
    yield from _zip_bombs(good, picture)


def _zip_traps(picture: bytes) -> Iterator[tuple[str, list[_Zipped]]]:
    """(trap, members)."""
    names = {
        "absolute-names": _ABSOLUTE,
        "upward-names": _UPWARDS,
        "windows-names": _WINDOWS,
        "names-not-utf8": _NOT_UTF8,
        "odd-names": _ODD,
        "hardly-names": (b"", *_HARDLY_ANY),
        "names-with-nul": (b"a\0.jpg", b"a.jpg\0.txt"),
        "long-names": (_LONG, b"y" * 60_000 + b".jpg"),
        "deep-names": (_DEEP, b"../" * 200 + b"x.jpg"),
        "duplicate-names": (b"same.jpg", b"same.jpg", b"SAME.jpg", b"good-0.jpg"),
    }
    for trap, some in names.items():
        yield trap, [_Zipped(name, picture) for name in some]
    plain = _Zipped(b"x.jpg", picture)
    yield "names-utf8-flagged", [replace(plain, name="\u00e9.jpg".encode(), flags=0x800)]
    yield "names-wrongly-flagged", [replace(plain, name=b"\xff\xfe.jpg", flags=0x800)]
    yield (
        "names-in-extra",
        [
            replace(
                plain,
                extra=_extra(0x7075, struct.pack("<BI", 1, zlib.crc32(b"x.jpg")) + b"../u.jpg"),
            )
        ],
    )
    yield (
        "empty-members",
        [_Zipped(b"e.jpg", b"", stored=True), _Zipped(b"e.png", b""), _Zipped(b"e.txt", b"")],
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
        [_Zipped(f"{k}.jpg".encode(), b"/etc/passwd", mode=mode) for k, mode in kinds.items()],
    )
    yield (
        "folders-named-like-images",
        [_Zipped(b"album.jpg/", b"", mode=0o040755), _Zipped(b"album.jpg/x.jpg", picture)],
    )
    yield "folders-with-data", [_Zipped(b"folder.jpg/", picture)]
    inner = _zip([_Zipped(b"../in.jpg", picture)])
    nested = {b"in.zip": inner, b"in.jpg": inner, b"tar.jpg": small_archive("tar")}
    yield "nested", [_Zipped(name, data) for name, data in nested.items()]
    yield "nested-stored", [_Zipped(name, data, stored=True) for name, data in nested.items()]
    yield from _zip_field_traps(plain)
    yield from _zip_size_traps(plain)


def _extra(number: int, body: bytes) -> bytes:
    return struct.pack("<2H", number, len(body)) + body


def _zip_field_traps(plain: _Zipped) -> Iterator[tuple[str, list[_Zipped]]]:
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
            _Zipped(b"x.jpg", signs, stored=True, descriptor="s2I"),
            _Zipped(b"y.bin", signs, stored=True),
        ],
    )
    yield (
        "extra-long",
        [
            replace(
                plain,
                local_extra=_extra(0xCAFE, bytes(60_000)),
                extra=_extra(0xCAFE, bytes(60_000)),
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
            [replace(plain, offset=0xFFFFFFFF, extra=_extra(1, struct.pack("<Q", place)))],
        )
    yield (
        "deflate-broken",
        [replace(plain, packed=b"\xff" * 500), replace(plain, name=b"y.jpg", packed=b"")],
    )
    yield "deflate-cut", [replace(plain, packed=_packed(plain)[:-100])]
    yield "deflate-and-more", [replace(plain, packed=_packed(plain) + bytes(1000))]


def _zip_size_traps(plain: _Zipped) -> Iterator[tuple[str, list[_Zipped]]]:
    giant = struct.pack("<2Q", 5 << 30, 5 << 30)
    most = struct.pack("<2Q", 2**64 - 1, 2**63)
    unset = replace(plain, size=0xFFFFFFFF, packed_size=0xFFFFFFFF)
    yield "size-too-small", [replace(plain, size=100)]
    yield "size-too-large", [replace(plain, size=1 << 29)]
    yield "size-3g", [replace(plain, size=3 << 30)]
    yield "size-4g", [unset]
    yield "size-zip64-5g", [replace(unset, extra=_extra(1, giant))]
    yield "size-zip64-most", [replace(unset, extra=_extra(1, most))]
    yield (
        "size-zip64-2e63",
        [replace(unset, extra=_extra(1, struct.pack("<2Q", 2**63 - 1, 2**63 - 1)))],
    )
    packed_most = _extra(1, struct.pack("<Q", 2**63 - 1))
    yield "packed-size-zip64-2e63", [replace(plain, packed_size=0xFFFFFFFF, extra=packed_most)]
    yield "size-zip64-short", [replace(unset, extra=_extra(1, giant[:5]))]
    true = struct.pack("<2Q", len(plain.data), len(_packed(plain)))
    yield "size-zip64-true", [replace(unset, extra=_extra(1, true), local_extra=_extra(1, true))]
    yield "packed-size-too-small", [replace(plain, packed_size=50)]
    yield "packed-size-too-large", [replace(plain, packed_size=1 << 27)]
    yield "packed-size-3g", [replace(plain, packed_size=3 << 30, stored=True, size=3 << 30)]
    yield "sizes-zero", [replace(plain, packed_size=0, size=0)]
    yield (
        "local-sizes-disagree",
        [replace(plain, local_size=1), replace(plain, name=b"y.jpg", local_size=1 << 30)],
    )


def _zip_end_traps(
    good: Mapping[str, bytes], whole: bytes, directory: int, end: int
) -> Iterator[tuple[str, bytes]]:
    """What can be wrong with a zip's end, and before its beginning."""
    members = [_Zipped(name.encode(), data) for name, data in good.items()]
    yield "prefix", _zip(members, prefix=b"#!/bin/sh\n" * 100)
    yield "prefix-of-a-zip", _zip(members, prefix=_zip([_Zipped(b"first.jpg", b"first")]))
    yield "trailing-bytes", whole + b"behind the end" * 50
    yield "trailing-zeros", whole + bytes(70_000)
    yield (
        "comment-of-signatures",
        _zip(members, comment=b"PK\5\6" + bytes(18) + b"PK\1\2" * 10 + b"PK\3\4"),
    )
    yield "comment-of-an-end", _zip(members, comment=b"PK\5\6" + bytes(16) + b"\0\0")
    yield "comment-longest", _zip(members, comment=b"c" * 65535)
    yield "count-too-small", _zip(members, count=1)
    yield "count-too-large", _zip(members, count=0xFFFF)
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
    yield "empty", _zip([])
    yield "no-bytes", b""


def _zip_bombs(good: Mapping[str, bytes], picture: bytes) -> Iterator[tuple[str, bytes]]:
    def zeros(name: bytes, size: int) -> _Zipped:
        checksum = functools.reduce(
            lambda so_far, _: zlib.crc32(bytes(1_000_000), so_far), range(size // 1_000_000), 0
        )
        return _Zipped(
            name, b"", packed=deflated_zeros(size, raw=True), checksum=checksum, size=size
        )

    yield "bomb-of-zeros", _zip_around(good, zeros(b"zeros.jpg", 200_000_000))
    yield "bomb-that-lies", _zip_around(good, replace(zeros(b"zeros.jpg", 200_000_000), size=1000))
    yield "bomb-picture", _zip_around(good, _Zipped(b"bomb.png", png_bomb_of(12000, 12000, (8, 0))))
    yield "bomb-of-other", _zip_around(good, zeros(b"zeros.bin", 200_000_000))
    first = _Zipped(b"one.jpg", picture)
    again = [replace(first, name=b"one-%d.jpg" % number, at_last=True) for number in range(300)]
    yield "overlapping", _zip_around(good, first, *again)
    first = zeros(b"one.jpg", 20_000_000)
    again = [replace(first, name=b"one-%d.jpg" % number, at_last=True) for number in range(50)]
    yield "overlapping-bomb", _zip_around(good, first, *again)
    many = [_Zipped(b"%d.txt" % number, b"", stored=True) for number in range(30_000)]
    yield "many-members", _zip_around(good, *many)


def _misnamed(good: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """(suffix, what it is, bytes) of files that are no archive, or another than their name says."""
    contents = {
        "picture": next(iter(good.values())),
        "text": b"this is no archive\n" * 100,
        "tar": _tar_around(good),
        "zip": _zip_around(good),
        "gzip": gzip.compress(b"no tar", mtime=0),
        "zlib": zlib.compress(_tar_around(good)),
    }
    for suffix in (".tar", ".tar.gz", ".tgz", ".zip"):
        for what, data in contents.items():
            if what != suffix[1:]:
                yield suffix, what, data


# Folders


def _folders(folder: Path, good: Mapping[str, bytes]) -> dict[str, Path]:
    """By kind, folders of loose files with traps among them."""
    makers = {
        "outside": _nothing_else,  # what links from elsewhere lead to
        "links": _make_links,
        "specials": _make_specials,
        "unreadable": _make_unreadable,
        "odd-names": _make_odd_names,
        "empty-files": _make_empty_files,
        "named-like-images": _make_named_like_images,
        "hidden": _make_hidden,
    }
    made = {}
    for trap, make in makers.items():
        inner = made[f"folder-{trap}"] = folder / f"folder-{trap}"
        inner.mkdir()
        _write_all(inner, good)
        make(inner, good)
    return made


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _nothing_else(folder: Path, good: Mapping[str, bytes]) -> None:
    pass


def _make_links(folder: Path, good: Mapping[str, bytes]) -> None:
    links = {
        "inside.jpg": "good-0.jpg",
        "outside.jpg": "../folder-outside/good-0.jpg",
        "absolute.jpg": "/etc/passwd",
        "passwd": "/etc/passwd",
        "dangling.jpg": "nowhere.jpg",
        "self.jpg": "self.jpg",
        "loop-a.jpg": "loop-b.jpg",
        "loop-b.jpg": "loop-a.jpg",
        "device.jpg": "/dev/zero",
        "folder": "../folder-outside",
        "folder.jpg": "../folder-outside",
        "up": "..",
        "here": ".",
        "box.tar": "../tar-odd-names.tar",
        "box.zip": "nowhere.zip",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.link(folder / "good-0.jpg", folder / "hardlink.jpg")


def _make_specials(folder: Path, good: Mapping[str, bytes]) -> None:
    for name in ("pipe.jpg", "pipe.tar", "pipe"):
        os.mkfifo(folder / name)
    for name in ("socket.jpg", "socket.zip"):
        os.mknod(folder / name, 0o600 | stat.S_IFSOCK)


def _make_unreadable(folder: Path, good: Mapping[str, bytes]) -> None:
    """For root there is nothing that cannot be read."""
    picture = next(iter(good.values()))
    for name in ("locked.jpg", "locked.txt"):
        (folder / name).write_bytes(picture)
        (folder / name).chmod(0)


def _make_odd_names(folder: Path, good: Mapping[str, bytes]) -> None:
    picture = next(iter(good.values()))
    for name in (*_ODD, *_NOT_UTF8, *_WINDOWS, b"z" * 251 + b".jpg"):
        with suppress(OSError):  # not every file system takes every name
            Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(picture)
    _write_all(folder / "new\nline", good)
    _write_all(folder / "*[a-z]?", good)
    _write_all(folder / os.fsdecode(b"caf\xe9"), good)


def _make_empty_files(folder: Path, good: Mapping[str, bytes]) -> None:
    _write_all(
        folder, dict.fromkeys(("e.jpg", "e.png", "e.tif", "e.webp", "e.bmp", "e.gif", "e.txt"), b"")
    )
    (folder / "empty-folder").mkdir()


def _make_named_like_images(folder: Path, good: Mapping[str, bytes]) -> None:
    for name in ("album.jpg", "box.tar", "box.zip", "box.tar.gz"):
        _write_all(folder / name, good)
    (folder / "nothing.png").mkdir()


def _make_hidden(folder: Path, good: Mapping[str, bytes]) -> None:
    for name in (".hidden", "_demoire", "__MACOSX", "...", "a"):
        _write_all(folder / name, good)
    _write_all(
        folder,
        {"._good-0.jpg": b"a fork", ".hidden.jpg": next(iter(good.values())), ".jpg": b"no name"},
    )
