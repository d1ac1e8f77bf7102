"""New payloads in tars and compressed tars, every other byte as it was."""

import gzip
import io
import struct
import tarfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.formats import archive_format, tar
from pipelines.sources.formats.containers import members_at
from tests.pipelines.sources.splicing import (
    FORMS,
    OTHERS,
    Payloads,
    content,
    facts_of_tar,
    respliced,
    tar_of,
)


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
    members = members_at(tar, io.BytesIO(whole), {5})
    with pytest.raises(EOFError):
        tar.rewrite(io.BytesIO(whole[:2000]), io.BytesIO(), members, lambda position: b"new")


def respliced_gz(data: bytes, payloads: Payloads) -> tuple[bytes, set[int]]:
    listed = archive_format("tar.gz").list_members(io.BytesIO(data))
    members = [member for member in listed if member.position in payloads]
    out = io.BytesIO()
    refused = archive_format("tar.gz").rewrite(io.BytesIO(data), out, members, payloads.__getitem__)
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
