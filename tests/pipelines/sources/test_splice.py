"""Splicing: new payloads for some members, every other byte as it was, and what cannot be changed
is refused.
"""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.formats import gzip_stream, tar
from pipelines.sources.formats import zip as zip_archive

Payloads = dict[int, bytes]  # by position
OTHERS = {
    "smaller": b"s",
    "empty": b"",
    "larger": b"L" * 5000,
    "equal": b"=" * 900,
    "a block": b"B" * 512,
}


def content(count: int = 5) -> list[tuple[str, bytes]]:
    return [(f"box/{i}.jpg", bytes([65 + i]) * 900) for i in range(count)]


# Tar


def tar_of(
    members: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT, **global_headers: str
) -> bytes:
    """A tar with a folder first, and a link to the first member last; odd owners, modes and
    times.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers=global_headers) as tar:
        folder = tarfile.TarInfo("box")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o750
        tar.addfile(folder)
        for number, (name, data) in enumerate(members):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1_000_000_000.25 + number, 0o604
            info.uid, info.gid, info.uname, info.gname = 4000 + number, 99, "archivist", "library"
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"LIBRARY.shelf": f"shelf {number} – ü"}
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("box/link")
        link.type, link.linkname = tarfile.LNKTYPE, members[0][0] if members else "box"
        tar.addfile(link)
    return buffer.getvalue()


def respliced(data: bytes, payloads: Payloads) -> tuple[bytes, set[int]]:
    out = io.BytesIO()
    members = tar.locate(io.BytesIO(data), payloads.keys())
    refused = tar.rewrite(io.BytesIO(data), out, members, payloads.__getitem__)
    return out.getvalue(), refused


def facts_of_tar(data: bytes) -> list[dict[str, Any]]:
    """All that tarfile knows of each member but where it lies."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            {
                **info.get_info(),
                "pax": info.pax_headers,
                "data": tar.extractfile(info).read() if info.isreg() else None,
            }  # type: ignore[union-attr]
            for info in tar
        ]


FORMS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("payload", OTHERS.values(), ids=OTHERS)
def test_a_tar_changes_in_the_payload_and_its_size_alone(payload: bytes, form: int) -> None:
    tar = tar_of(content(), form)
    out, refused = respliced(tar, {3: payload})
    before, after = facts_of_tar(tar), facts_of_tar(out)
    assert not refused
    assert after[3]["data"] == payload
    before[3] |= {"data": payload, "size": len(payload), "chksum": after[3]["chksum"]}
    assert after == before
    assert len(out) % tarfile.RECORDSIZE == 0


@given(
    members=st.lists(
        st.tuples(st.text("abc/éx", min_size=1, max_size=120), st.binary(max_size=1500)), max_size=6
    ),
    data=st.data(),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
@settings(deadline=None)
def test_any_members_of_any_tar_can_be_changed(
    members: list[tuple[str, bytes]], data: st.DataObject, form: int
) -> None:
    members = [(name.strip("/") or "x", payload) for name, payload in members]
    tar = tar_of(members, form)
    changes = (
        data.draw(st.dictionaries(st.integers(1, len(members)), st.binary(max_size=3000)))
        if members
        else {}
    )
    out, refused = respliced(tar, changes)
    before, after = facts_of_tar(tar), facts_of_tar(out)
    for position, payload in changes.items():
        before[position] |= {
            "data": payload,
            "size": len(payload),
            "chksum": after[position]["chksum"],
        }
    assert not refused and after == before


@settings(deadline=None)
@given(st.lists(st.binary(max_size=1500), max_size=6), st.sampled_from(list(FORMS.values())))
def test_a_tar_with_the_payloads_it_had_is_the_same_bytes(payloads: list[bytes], form: int) -> None:
    members = [(f"{number}.jpg", payload) for number, payload in enumerate(payloads)]
    tar = tar_of(members, form, comment="the whole of box 7")
    assert respliced(tar, dict(enumerate(payloads, start=1))) == (tar, set())


def renumbered(header: bytes) -> bytes:
    """A tar header block with the right checksum, written in seven digits as some programs do."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%07o\0" % sum(blank) + header[156:]


SIZE_FIELDS = {
    "twelve digits": b"%012o",
    "ended by a space": b"%011o ",
    "blanks before": b"%10o \0",
    "short": b"%o\0\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("form", SIZE_FIELDS.values(), ids=SIZE_FIELDS)
def test_sizes_are_understood_however_they_were_written(form: bytes) -> None:
    plain = tar_of([("a.jpg", b"A" * 900), ("b.jpg", b"B" * 900)], tarfile.USTAR_FORMAT)
    size = form % 900
    assert len(size) == 12
    tar = plain[:512] + renumbered(plain[512:636] + size + plain[648:1024]) + plain[1024:]
    assert respliced(tar, {1: b"A" * 900}) == (tar, set())
    out, refused = respliced(tar, {1: b"new" * 300})
    assert not refused
    assert [fact["data"] for fact in facts_of_tar(out)[1:3]] == [b"new" * 300, b"B" * 900]


def test_a_size_in_an_extended_header_is_refused_and_all_else_goes_on() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, size in (("a.jpg", "700"), ("b.jpg", "")):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = 700, {"size": size} if size else {}
            tar.addfile(info, io.BytesIO(name[:1].encode() * 700))
    data = buffer.getvalue()
    at = data.index(b"a.jpg\0")  # the header itself says nothing, as where a size is beyond 8 GB
    spoiled = (
        data[:at]
        + renumbered(data[at : at + 124] + b"%011o\0" % 0 + data[at + 136 : at + 512])
        + data[at + 512 :]
    )
    out, refused = respliced(spoiled, {0: b"new", 1: b"new"})
    assert refused == {0}
    assert [fact["data"] for fact in facts_of_tar(out)] == [b"a" * 700, b"new"]


def test_a_tar_that_ends_before_its_members_do_is_no_splice() -> None:
    whole = tar_of(content())
    members = tar.locate(io.BytesIO(whole), {5})
    with pytest.raises(EOFError):
        tar.rewrite(io.BytesIO(whole[:2000]), io.BytesIO(), members, lambda position: b"new")


# Compressed tar


def respliced_gz(data: bytes, payloads: Payloads) -> tuple[bytes, set[int]]:
    listed = gzip_stream.list_members(io.BytesIO(data))
    members = [member for member in listed if member.position in payloads]
    out = io.BytesIO()
    refused = gzip_stream.rewrite(io.BytesIO(data), out, members, payloads.__getitem__)
    return out.getvalue(), refused


def compressed(data: bytes, level: int = 9, name: str = "box.tar") -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(name, "wb", level, buffer, mtime=1_234_567_890) as stream:
        stream.write(data)
    return buffer.getvalue()


@pytest.mark.parametrize("payload", OTHERS.values(), ids=OTHERS)
def test_a_compressed_tar_is_spliced_like_the_tar_inside(payload: bytes) -> None:
    tar = tar_of(content())
    out, refused = respliced_gz(compressed(tar), {3: payload, 1: payload})
    assert (gzip.decompress(out), refused) == respliced(tar, {3: payload, 1: payload})


@pytest.mark.parametrize("level", [1, 9])
def test_a_compressed_tar_with_the_payloads_it_had_is_the_same_bytes(level: int) -> None:
    packed = compressed(tar_of(content()), level)
    assert respliced_gz(packed, {1: content()[0][1]})[0] == packed


def test_a_gzip_header_keeps_time_system_name_comment_and_extra_field() -> None:
    plain = compressed(tar_of(content()), name="")
    extra, name, comment = b"AB\4\0abcd", b"caf\xe9.tar\0", b"no. 7\0"
    flags = 0x02 | 0x04 | 0x08 | 0x10  # of them 0x02, the header's own checksum, is left out
    header = (
        plain[:3]
        + bytes([flags])
        + plain[4:10]
        + struct.pack("<H", len(extra))
        + extra
        + name
        + comment
    )
    packed = header + struct.pack("<H", zlib.crc32(header) & 0xFFFF) + plain[10:]
    out, _ = respliced_gz(packed, {1: b"new"})
    assert out.startswith(header[:3] + bytes([flags & ~0x02]) + header[4:])
    assert [fact["data"] for fact in facts_of_tar(gzip.decompress(out))][1] == b"new"


def test_a_tar_compressed_in_several_pieces_becomes_one() -> None:
    tar = tar_of(content())
    out, _ = respliced_gz(compressed(tar[:1000]) + compressed(tar[1000:]), {2: b"new"})
    assert gzip.decompress(out) == respliced(tar, {2: b"new"})[0]


# Zip


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
    directory, place = b"", start
    for _ in range(count):
        fixed = bytearray(data[place : place + 46])
        name, extra, comment = struct.unpack_from("<3H", fixed, 28)
        packed, unpacked = struct.unpack_from("<2I", fixed, 20)
        (offset,) = struct.unpack_from("<I", fixed, 42)
        struct.pack_into("<2I", fixed, 20, 0xFFFFFFFF, 0xFFFFFFFF)
        struct.pack_into("<I", fixed, 42, 0xFFFFFFFF)
        struct.pack_into("<H", fixed, 30, extra + 28)
        names_and_extras = data[place + 46 : place + 46 + name + extra]
        directory += (
            fixed + names_and_extras + struct.pack("<2H3Q", 1, 24, unpacked, packed, offset)
        )
        place += 46 + name + extra + comment
        directory += data[place - comment : place]
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
    """The zip whose directory says another place of this member."""
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
