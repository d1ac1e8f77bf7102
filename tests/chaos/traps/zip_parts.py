"""Zips put together by hand, so that every field of them can lie."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Zipped:
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


def told(said: int | None, true: int) -> int:
    return true if said is None else said


def packed_bytes(member: Zipped) -> bytes:
    if member.packed is not None or member.stored:
        return member.data if member.packed is None else member.packed
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(member.data) + packer.flush()


def zip_headers(member: Zipped, packed: bytes, offset: int) -> tuple[bytes, bytes]:
    """(local header, entry of the directory)."""
    flags = member.flags | (8 if member.descriptor else 0)
    method = told(member.method, 0 if member.stored else 8)
    checksum = told(member.checksum, zlib.crc32(member.data))
    sizes = (told(member.packed_size, len(packed)), told(member.size, len(member.data)))
    name = member.local_name if member.local_name is not None else member.name
    local_sizes = (told(member.local_size, sizes[0]), told(member.local_size, sizes[1]))
    local_facts = (
        (0, 0, 0) if member.descriptor else (told(member.local_checksum, checksum), *local_sizes)
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
    entry += struct.pack("<2H2I", 0, 0, member.mode << 16, told(member.offset, offset))
    return local + name + member.local_extra, entry + member.name + member.extra + member.comment


def zip_of(
    members: Sequence[Zipped], comment: bytes = b"", prefix: bytes = b"", count: int | None = None
) -> bytes:
    """A zip of these members behind a prefix that its offsets do not know of."""
    out, directory, last = bytearray(), bytearray(), 0
    for member in members:
        packed = packed_bytes(member)
        last = last if member.at_last else len(out)
        local, entry = zip_headers(member, packed, last)
        directory += entry
        if not member.at_last:
            out += local + packed
        if member.descriptor:
            signed = member.descriptor.startswith("s")
            form = "<I" + member.descriptor.lstrip("s")
            out += (b"PK\7\x08" if signed else b"") + struct.pack(
                form, zlib.crc32(member.data), len(packed), len(member.data)
            )
    said = min(0xFFFF, told(count, len(members)))
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, said, said, len(directory), len(out), len(comment)
    )
    return prefix + bytes(out) + bytes(directory) + end + comment


def zip_around(good: Mapping[str, bytes], *trap: Zipped) -> bytes:
    members = [
        Zipped(name.encode(), data, stored=number % 2 == 0)
        for number, (name, data) in enumerate(good.items())
    ]
    return zip_of([*members[:2], *trap, *members[2:]])
