"""Zips that are cut, mangled or built to do harm."""

import io
import struct
import zipfile
from pathlib import Path

import pytest

from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope
from pipelines.plan.plan import make_plan
from pipelines.sources.index import index
from pipelines.sources.members import DamagedArchiveError
from tests.pipelines.sources.archives import (
    BOX,
    JPEG,
    PNG,
    all_payloads,
    reasons,
    the_only_source,
    zip_of,
)


@pytest.mark.parametrize("data", [b"", b"nonsense", zip_of(BOX)[:-30], zip_of(BOX)[:200]])
def test_a_zip_without_directory_is_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "z.zip").write_bytes(data)
    with pytest.raises(DamagedArchiveError, match=r"z\.zip is damaged"):
        index(the_only_source(tmp_path / "z.zip"))


def test_one_damaged_zip_member_does_not_harm_the_others(tmp_path: Path) -> None:
    data = zip_of([("a.png", PNG), ("b.png", PNG), ("c.png", PNG)], zipfile.ZIP_STORED)
    second = data.index(PNG, data.index(PNG) + 1)
    spoilt = data[: second + 50] + bytes([data[second + 50] ^ 1]) + data[second + 51 :]
    (tmp_path / "z.zip").write_bytes(spoilt)
    assert reasons(tmp_path / "z.zip") == [len(PNG), "unreadable", len(PNG)]


def test_zip_members_with_descriptors_and_long_extra_fields(tmp_path: Path) -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:  # type: ignore[no-untyped-def, override]
            self.data += data
            return len(data)

    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name in ("a.jpg", "b.jpg"):
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HH", 0xCAFE, 5000) + bytes(5000)
            archive.writestr(info, JPEG)
    (tmp_path / "z.zip").write_bytes(stream.data)
    assert all_payloads(the_only_source(tmp_path / "z.zip")) == [("a.jpg", JPEG), ("b.jpg", JPEG)]


def test_a_zip_behind_another_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_bytes(b"#!/bin/sh\n" * 100 + zip_of(BOX))
    assert all_payloads(the_only_source(tmp_path / "z.zip")) == [
        ("a/2.jpg", JPEG),
        ("a/1.png", PNG),
        ("a/empty.jpg", b""),
    ]


def test_encrypted_members_and_those_of_unknown_methods_have_a_reason(tmp_path: Path) -> None:
    data = zip_of([("a.jpg", JPEG), ("b.jpg", JPEG)])
    deflate64 = bytearray(data)
    struct.pack_into("<H", deflate64, data.index(b"PK\3\4") + 8, 9)
    struct.pack_into("<H", deflate64, data.index(b"PK\1\2") + 10, 9)
    (tmp_path / "z.zip").write_bytes(deflate64)
    assert reasons(tmp_path / "z.zip") == ["unknown_packing", len(JPEG)]
    data = bytearray(zip_of([("a.jpg", JPEG)]))
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "z.zip").write_bytes(data)
    assert reasons(tmp_path / "z.zip") == ["unreadable"]


def test_a_bomb_is_not_unpacked_beyond_what_it_declares(tmp_path: Path) -> None:
    data = bytearray(zip_of([("a.bmp", bytes(50_000_000))]))
    directory = data.index(b"PK\1\2")
    data[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    (tmp_path / "z.zip").write_bytes(data)
    assert reasons(tmp_path / "z.zip") == ["unreadable"]
    data[directory + 24 : directory + 28] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "z.zip").write_bytes(data)
    assert reasons(tmp_path / "z.zip") == ["compression_bomb"]


def test_a_bomb_that_declares_itself_is_left_packed(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_bytes(zip_of([("a.bmp", bytes(70_000_000)), ("b.png", PNG)]))
    assert reasons(tmp_path / "z.zip") == ["compression_bomb", len(PNG)]


def test_a_zip_that_says_it_is_empty_and_is_not_is_damaged(tmp_path: Path) -> None:
    """Such as one whose comment holds what looks like the end of an empty archive."""
    (tmp_path / "z.zip").write_bytes(zip_of([("a.png", PNG)]) + b"PK\5\6" + bytes(18))
    with pytest.raises(DamagedArchiveError, match="its directory is empty"):
        index(the_only_source(tmp_path / "z.zip"))
    (tmp_path / "z.zip").write_bytes(zip_of([]))
    assert index(the_only_source(tmp_path / "z.zip")).members == ()


@pytest.mark.parametrize("claim", [1 << 32, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("field", [0, 1, 2], ids=["size", "packed size", "offset"])
def test_numbers_that_cannot_be_make_a_member_unreadable_and_no_more(
    tmp_path: Path, claim: int, field: int
) -> None:
    """A zip64 directory may say anything up to 2**64, and neither a read nor the manifest may
    stumble over it.
    """
    data = bytearray(zip_of([("a.png", PNG), ("b.png", PNG)], zipfile.ZIP_STORED))
    directory = data.index(b"PK\1\2")
    for offset in (20, 24, 42):
        struct.pack_into("<I", data, directory + offset, 0xFFFFFFFF)
    struct.pack_into("<H", data, directory + 30, 28)
    numbers = [len(PNG), len(PNG), 0]
    numbers[field] = claim
    extra = struct.pack("<2H3Q", 1, 24, *numbers)
    name_end = directory + 46 + len("a.png")
    data[name_end:name_end] = extra
    end = data.index(b"PK\5\6")
    struct.pack_into("<I", data, end + 12, struct.unpack_from("<I", data, end + 12)[0] + len(extra))
    path = tmp_path / "box" / "z.zip"
    path.parent.mkdir()
    path.write_bytes(data)
    plan = make_plan(
        Destination.at(str(tmp_path / "out")), PlanScope(str(path.parent), "fingerprint")
    )
    assert plan.images == 2
    first, second = reasons(path)
    assert first in ("unreadable", "too_large", "compression_bomb") and second == len(PNG)
