"""New payloads in zips, every other byte as it was; what cannot be changed is refused."""

import io
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.formats import zip as zip_archive
from pipelines.sources.formats.zip_headers import (
    CentralEntry,
    Content,
    LocalHeader,
    end_of_zip,
    without_zip64,
)
from tests.pipelines.sources.splicing import OTHERS, Payloads, content


class Pipe(io.RawIOBase):
    """Where nothing can be sought: zipfile then writes sizes behind the payloads."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def zip_of(
    members: Sequence[tuple[str, bytes]],
    *,
    streamed: bool = False,
    wide: bool = False,
    ahead: bytes = b"",
) -> bytes:
    """A zip of stored and deflated members in turn, with comments and extra fields.

    streamed: sizes stand behind the payloads; wide: in zip64 fields; ahead: bytes before the
    archive.
    """
    file = Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # type: ignore[arg-type]
        archive.comment = b"box 7"
        for number, (name, data) in enumerate(members):
            info = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 2 * (number % 30)))
            info.compress_type = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            info.comment, info.external_attr = f"no. {number}".encode(), 0o604 << 16
            info.extra = b"\xfe\xca\3\0abc"
            with archive.open(info, "w", force_zip64=wide) as stream:
                stream.write(data)
    return ahead + (file.data if isinstance(file, Pipe) else file.getvalue())


def rezipped(data: bytes, payloads: Payloads) -> tuple[bytes, set[int]]:
    out = io.BytesIO()
    listed = zip_archive.list_members(io.BytesIO(data)) if payloads else ()
    members = [member for member in listed if member.position in payloads]
    refused = zip_archive.rewrite(io.BytesIO(data), out, members, payloads.__getitem__)
    return out.getvalue(), refused


def facts_of_zip(data: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    """The comment, and all that zipfile knows of each member but where it lies and how well it is
    packed.
    """
    names = (
        "filename",
        "date_time",
        "compress_type",
        "comment",
        "extra",
        "create_system",
        "external_attr",
    )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        return archive.comment, [
            {**{n: getattr(i, n) for n in names}, "data": archive.read(i)} for i in members
        ]


SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "streamed": {"streamed": True},
    "zip64": {"wide": True},
    "streamed zip64": {"streamed": True, "wide": True},
    "something ahead": {"ahead": b"#!/bin/sh unzip this\n"},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("payload", OTHERS.values(), ids=OTHERS)
def test_a_zip_changes_in_the_payload_and_its_size_alone(
    payload: bytes, shape: dict[str, Any]
) -> None:
    data = zip_of(content(), **shape)
    out, refused = rezipped(data, {1: payload, 2: payload})
    comment, members = facts_of_zip(data)
    members[1]["data"] = members[2]["data"] = payload
    assert not refused
    assert facts_of_zip(out) == (comment, members)
    assert out.startswith(shape.get("ahead", b""))


@given(
    members=st.lists(
        st.tuples(st.text("abc/éx", min_size=1, max_size=30), st.binary(max_size=1500)), max_size=6
    ),
    data=st.data(),
    shape=st.sampled_from(list(SHAPES.values())),
)
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_members_of_any_zip_can_be_changed(
    members: list[tuple[str, bytes]], data: st.DataObject, shape: dict[str, Any]
) -> None:
    members = [(name.strip("/") or "x", payload) for name, payload in members]
    changes = (
        data.draw(st.dictionaries(st.integers(0, len(members) - 1), st.binary(max_size=3000)))
        if members
        else {}
    )
    before = zip_of(members, **shape)
    out, refused = rezipped(before, changes)
    comment, expected = facts_of_zip(before)
    for position, payload in changes.items():
        expected[position]["data"] = payload
    assert not refused and facts_of_zip(out) == (comment, expected)


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=1500), min_size=1, max_size=6),
    st.sampled_from([{}, SHAPES["something ahead"]]),
)
def test_a_zip_with_the_payloads_it_had_is_the_same_bytes(
    payloads: list[bytes], shape: dict[str, Any]
) -> None:
    data = zip_of([(f"{number}.jpg", payload) for number, payload in enumerate(payloads)], **shape)
    assert rezipped(data, dict(enumerate(payloads))) == (data, set())


def central_zip64(data: bytes) -> bytes:
    """The zip with every size and offset of its directory, and the directory's own, in zip64
    fields.
    """
    end = data.rindex(b"PK\5\6")
    count, size, start = struct.unpack_from("<H2I", data, end + 10)
    directory = b""
    entry = start
    for _ in range(count):
        fixed = bytearray(data[entry : entry + 46])
        name, extra, comment = struct.unpack_from("<3H", fixed, 28)
        packed, unpacked = struct.unpack_from("<2I", fixed, 20)
        (offset,) = struct.unpack_from("<I", fixed, 42)
        struct.pack_into("<2I", fixed, 20, 0xFFFFFFFF, 0xFFFFFFFF)
        struct.pack_into("<I", fixed, 42, 0xFFFFFFFF)
        struct.pack_into("<H", fixed, 30, extra + 28)
        names_and_extras = data[entry + 46 : entry + 46 + name + extra]
        directory += (
            fixed + names_and_extras + struct.pack("<2H3Q", 1, 24, unpacked, packed, offset)
        )
        entry += 46 + name + extra + comment
        directory += data[entry - comment : entry]
    record = struct.pack(
        "<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), start
    )
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + len(directory), 1)
    sizes = struct.pack("<2H2I", 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return (
        data[:start] + directory + record + locator + data[end : end + 8] + sizes + data[end + 20 :]
    )


def test_a_directory_in_zip64_fields_stays_in_them() -> None:
    data = central_zip64(zip_of(content()))
    assert rezipped(data, dict(enumerate(payload for _, payload in content()))) == (data, set())
    out, refused = rezipped(data, {1: b"new"})
    comment, members = facts_of_zip(data)
    members[1]["data"] = b"new"
    after = facts_of_zip(out)
    assert not refused and after[0] == comment
    assert [member["data"] for member in after[1]] == [member["data"] for member in members]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_zip_of_which_nothing_is_changed_is_the_same_bytes(shape: dict[str, Any]) -> None:
    data = zip_of(content(), **shape)
    assert rezipped(data, {}) == (data, set())


def with_offset(data: bytes, name: bytes, offset: int) -> bytes:
    """The zip whose directory states another offset of this member."""
    entry = data.rindex(name) - 46
    return data[: entry + 42] + struct.pack("<I", offset) + data[entry + 46 :]


def test_members_that_share_their_bytes_are_refused() -> None:
    data = zip_of(content())
    twice = with_offset(data, b"box/1.jpg", 0)  # as in an archive that keeps equal files once
    out, refused = rezipped(twice, {0: b"new", 1: b"new", 2: b"new"})
    assert refused == {0, 1}
    assert zipfile.ZipFile(io.BytesIO(out)).read("box/2.jpg") == b"new"


def test_a_member_inside_another_is_refused_and_the_outer_one_keeps_its_bytes() -> None:
    inner = zip_of([("in.jpg", b"I" * 300)])
    data = zip_of([("outer.bin", inner), ("in.jpg", b"x" * 300)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = data.index(inner)
        assert archive.infolist()[1].header_offset > start
    nested = with_offset(data, b"in.jpg", start)
    out, refused = rezipped(nested, {1: b"new"})
    assert refused == {1}
    assert out == nested


def test_a_member_behind_the_directory_is_refused() -> None:
    data = zip_of(content())
    hidden = zip_of([("box/1.jpg", b"hidden")])
    comment = hidden[: hidden.index(b"PK\1\2")]
    end = data.rindex(b"PK\5\6")
    spoiled = with_offset(data, b"box/1.jpg", end + 22)
    spoiled = spoiled[: end + 20] + struct.pack("<H", len(comment)) + comment
    out, refused = rezipped(spoiled, {1: b"new", 2: b"new"})
    assert refused == {1}
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        assert (archive.comment, archive.read("box/2.jpg")) == (comment, b"new")


def test_a_member_whose_two_headers_disagree_on_its_packing_is_refused() -> None:
    data = bytearray(zip_of(content()))
    data[8] = zipfile.ZIP_DEFLATED  # the first member's, which the directory calls stored
    out, refused = rezipped(bytes(data), {0: b"new", 2: b"new"})
    assert refused == {0}
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        assert archive.read("box/0.jpg") == content()[0][1] and archive.read("box/2.jpg") == b"new"


def test_a_directory_that_does_not_end_where_it_should_is_refused_as_a_whole() -> None:
    data = bytearray(zip_of(content()))
    end = data.rindex(b"PK\5\6")
    last = data.rindex(b"PK\1\2")
    # the length of its comment, beyond the directory's end
    struct.pack_into("<H", data, last + 32, end - last)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.infolist()) == 5
    assert rezipped(bytes(data), {0: b"new"})[1] == {0}


def test_a_member_without_its_local_header_is_refused() -> None:
    data = zip_of(content())
    spoiled = with_offset(data, b"box/1.jpg", 7)
    out, refused = rezipped(spoiled, {1: b"new", 2: b"new"})
    assert refused == {1}
    assert zipfile.ZipFile(io.BytesIO(out)).read("box/2.jpg") == b"new"


def directory_of(data: bytes) -> io.BytesIO:
    """The zip at the first entry of its directory."""
    file = io.BytesIO(data)
    file.seek(data.index(b"PK\1\2"))
    return file


@pytest.mark.parametrize("offset", [0xFFFFFFFF, 5 << 30])
def test_an_entry_that_moves_beyond_32_bits_needs_version_45(offset: int) -> None:
    """APPNOTE.TXT, 4.4.3.2: a reader of less than 4.5 must not take FFFFFFFF for the offset."""
    entry = CentralEntry.read(directory_of(zip_of(content())))
    moved = entry.moved(entry.content, offset)
    version_made_by, version_needed = struct.unpack_from("<2H", moved, 4)
    assert version_needed == 45
    assert version_made_by == entry.made_by
    assert struct.unpack_from("<I", moved, 42) == (0xFFFFFFFF,)
    assert CentralEntry.read(io.BytesIO(moved)).stated_offset == offset


def test_an_entry_that_moves_within_32_bits_needs_the_version_it_did() -> None:
    entry = CentralEntry.read(directory_of(zip_of(content())))
    moved = entry.moved(entry.content, 0xFFFFFFFE)
    assert struct.unpack_from("<2H", moved, 4) == (entry.made_by, 20)
    assert CentralEntry.read(io.BytesIO(moved)).stated_offset == 0xFFFFFFFE


class Sparse:
    """A file in which blocks of zeros take no room."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, data: bytes, /) -> int:
        if data == bytes(len(data)):
            self.file.seek(len(data), io.SEEK_CUR)
        else:
            self.file.write(data)
        return len(data)


def write_zip_just_below_4_gb(path: Path) -> None:
    """A zip of three members, the second of nearly 4 GB, all whose offsets fit 32 bits just so."""
    data = bytearray(zip_of([("a.jpg", b"A" * 900), ("b.bin", b""), ("c.jpg", b"C" * 900)]))
    third = data.index(b"PK\3\4", data.index(b"b.bin"))
    directory = data.index(b"PK\1\2")
    hole = 0xFFFFFFFE - directory
    entries = [directory]
    for _ in range(2):
        entries.append(data.index(b"PK\1\2", entries[-1] + 4))
    struct.pack_into("<H", data, entries[1] + 10, zipfile.ZIP_STORED)
    struct.pack_into("<2I", data, entries[1] + 20, hole, hole)
    struct.pack_into("<I", data, entries[2] + 42, third + hole)
    struct.pack_into("<I", data, data.rindex(b"PK\5\6") + 16, directory + hole)
    with path.open("wb") as file:
        file.write(data[:third])
        file.seek(third + hole)
        file.write(data[third:])


@pytest.mark.slow
def test_a_zip_that_grows_beyond_4_gb_becomes_a_zip64(tmp_path: Path) -> None:
    before = tmp_path / "before.zip"
    after = tmp_path / "after.zip"
    write_zip_just_below_4_gb(before)
    with before.open("rb") as source, after.open("wb") as out:
        members = list(zip_archive.list_members(source))[:1]
        refused = zip_archive.rewrite(source, Sparse(out), members, lambda position: b"new" * 999)
    assert not refused
    with zipfile.ZipFile(after) as archive:
        assert [info.extract_version for info in archive.infolist()] == [20, 20, 45]
        assert archive.read("a.jpg") == b"new" * 999
        assert archive.read("c.jpg") == b"C" * 900


# What a wrong splice would leave, byte by byte: each of these was changed on purpose once, and no
# other test noticed.


def local_header(data: bytes, name: bytes) -> tuple[int, int]:
    """Where a member's local header begins, and its flags."""
    start = data.index(name) - 30
    assert data[start : start + 4] == b"PK\3\4"
    (flags,) = struct.unpack_from("<H", data, start + 6)
    return start, flags


def entry_flags(data: bytes, name: bytes) -> int:
    """The flags of a member's entry in the directory."""
    (flags,) = struct.unpack_from("<H", data, data.rindex(name) - 46 + 8)
    return int(flags)


def test_flag_and_descriptor_of_unknown_sizes_go_with_a_changed_member_alone() -> None:
    data = zip_of(content(3), streamed=True)
    out, refused = rezipped(data, {1: b"new"})
    assert not refused
    flags = []
    for name in (b"box/0.jpg", b"box/1.jpg", b"box/2.jpg"):
        flags.append((local_header(out, name)[1] & 8, entry_flags(out, name) & 8))
    assert flags == [(8, 8), (0, 0), (8, 8)]
    start, _ = local_header(out, b"box/1.jpg")
    packed_size, _, name_length, extra_length = struct.unpack_from("<2I2H", out, start + 18)
    end = start + 30 + name_length + extra_length + packed_size
    assert end == local_header(out, b"box/2.jpg")[0], "nothing is left of its descriptor"
    assert struct.unpack_from("<I", out, start + 22) == (3,)


def test_what_stands_between_two_members_and_is_no_descriptor_stays() -> None:
    for streamed, gap in ((True, b"something else between two members"), (False, b"x" * 16)):
        data = zip_of(content(3), streamed=streamed)
        third, _ = local_header(data, b"box/2.jpg")
        third_entry = data.rindex(b"box/2.jpg") - 46 + len(gap)
        data = data[:third] + gap + data[third:]
        data = with_offset(data, b"box/2.jpg", third + len(gap))
        end = data.rindex(b"PK\5\6")
        (start,) = struct.unpack_from("<I", data, end + 16)
        data = data[: end + 16] + struct.pack("<I", start + len(gap)) + data[end + 20 :]
        assert data[third_entry : third_entry + 4] == b"PK\1\2"
        out, refused = rezipped(data, {1: b"new"})
        assert not refused
        assert gap in out
        with zipfile.ZipFile(io.BytesIO(out)) as archive:
            assert (archive.testzip(), archive.read("box/1.jpg")) == (None, b"new")


def test_a_changed_member_has_no_local_field_of_zip64_any_more() -> None:
    data = zip_of(content(3), wide=True)
    out, _ = rezipped(data, {1: b"new"})
    start, _ = local_header(out, b"box/1.jpg")
    name_length, extra_length = struct.unpack_from("<2H", out, start + 26)
    begin = start + 30 + name_length
    assert out[begin : begin + extra_length] == b"\xfe\xca\3\0abc"


def test_a_member_whose_packed_size_reaches_into_the_next_is_refused() -> None:
    data = zip_of(content(3))
    entry = data.rindex(b"box/0.jpg") - 46
    (size,) = struct.unpack_from("<I", data, entry + 20)
    longer = data[: entry + 20] + struct.pack("<2I", size + 5, size + 5) + data[entry + 28 :]
    out, refused = rezipped(longer, {0: b"new", 2: b"new"})
    assert 0 in refused
    assert b"A" * 900 in out


def test_the_rest_of_a_zip64_field_and_bytes_that_are_no_field_stay() -> None:
    entry = CentralEntry.read(directory_of(zip_of(content())))
    disk = b"\7\0\0\0"
    field = struct.pack("<2HQ", 1, 12, 900) + disk
    wide = replace(entry, content=replace(entry.content, size=0xFFFFFFFF), extra=field + b"odd")
    moved = CentralEntry.read(io.BytesIO(wide.moved(replace(entry.content, size=900), 77)))
    assert moved.extra == field + b"odd"
    changed = CentralEntry.read(io.BytesIO(wide.rewritten(replace(entry.content, size=5), 77)))
    assert changed.extra == struct.pack("<2HQ", 1, 12, 5) + disk + b"odd"
    assert without_zip64(field + b"\xfe\xca\3\0abc" + b"odd") == b"\xfe\xca\3\0abcodd"


def test_a_directory_that_begins_beyond_4_gb_gets_the_records_of_zip64() -> None:
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, 150, 0xFFFF0000, 5) + b"box 7"
    start = 5 << 30
    end = end_of_zip(tail, count=3, size=160, start=start)
    assert struct.unpack_from("<4sQ2H2I4Q", end) == (
        *(b"PK\6\6", 44, 45, 45, 0, 0),
        *(3, 3, 160, start),
    )
    assert struct.unpack_from("<4sIQI", end, 56) == (b"PK\6\7", 0, start + 160, 1)
    assert struct.unpack_from("<4s4H2IH", end, 76) == (b"PK\5\6", 0, 0, 3, 3, 160, 0xFFFFFFFF, 5)
    assert end.endswith(b"box 7")


def test_the_size_of_the_directory_is_that_of_the_new_one() -> None:
    data = central_zip64(zip_of(content()))
    narrow = zip_of(content(), wide=True)
    for before in (data, narrow):
        out, _ = rezipped(before, {1: b"new"})
        end = out.rindex(b"PK\5\6")
        size, start = struct.unpack_from("<2I", out, end + 12)
        if start == 0xFFFFFFFF:
            size, start = struct.unpack_from("<2Q", out, out.rindex(b"PK\6\6") + 40)
            assert out[start + size : start + size + 4] == b"PK\6\6"
        else:
            assert start + size == end


def test_a_payload_beyond_32_bits_has_its_sizes_in_the_zip64_field() -> None:
    """Fields by APPNOTE.TXT, 4.3.7 and 4.5.3: both sizes, the unpacked one first."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.tif", b"small")
    header = LocalHeader.parse(file.getvalue())
    assert header is not None
    written = header.rewritten(Content(7, 5_000_000_000, 4_000_000_000), b"a.tif", b"")
    version, checksum = struct.unpack_from("<H8xI", written, 4)
    assert (version, checksum) == (45, 7)
    assert struct.unpack_from("<2I", written, 18) == (0xFFFFFFFF, 0xFFFFFFFF)
    field = written[30 + len(b"a.tif") :]
    assert struct.unpack("<2H2Q", field) == (1, 16, 4_000_000_000, 5_000_000_000)
    assert struct.unpack_from("<2H", written, 26) == (len(b"a.tif"), len(field))
