"""Members of a zip in every method that is known: read, and changed in the same method."""

import io
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from pipelines.records import Compression
from pipelines.sources.formats.streams import BrokenStreamError
from pipelines.sources.formats.zip_packing import packed_like, unpacked
from pipelines.sources.splice import mapped_payload
from tests.pipelines.sources.archives import JPEG, all_payloads, the_only_source, zip_of
from tests.pipelines.sources.test_splice_zip import rezipped

ZSTD = 93
METHODS = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA, "zstd": ZSTD}
NOISE = JPEG * 3


def zip_in(method: int, payload: bytes) -> bytes:
    """A zip of two members; zipfile packs no Zstandard, so that is put in by hand."""
    if method != ZSTD:
        return zip_of([("a.jpg", payload), ("b.txt", b"b" * 500)], method)
    packed = zstd.compress(payload)
    data = zip_of([("a.jpg", packed), ("b.txt", b"b" * 500)], zipfile.ZIP_STORED)
    fixed = bytearray(data)
    local, directory = data.index(b"PK\3\4"), data.index(b"PK\1\2")
    for at in (local + 8, directory + 10):
        struct.pack_into("<H", fixed, at, ZSTD)
    for at in (local + 14, directory + 16):
        struct.pack_into("<3I", fixed, at, zlib.crc32(payload), len(packed), len(payload))
    return bytes(fixed)


def payload_of(data: bytes) -> bytes:
    """The first member's payload as other programs unpack it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.infolist()[0]
        if info.compress_type != ZSTD:
            return archive.read(info)
    start = 30 + len("a.jpg")
    payload = zstd.decompress(data[start : start + info.compress_size])
    assert (zlib.crc32(payload), len(payload)) == (info.CRC, info.file_size)
    return payload


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_member_of_any_known_method_is_read_and_changed_in_that_method(
    method: int, tmp_path: Path
) -> None:
    data = zip_in(method, NOISE)
    (tmp_path / "z.zip").write_bytes(data)
    assert all_payloads(the_only_source(tmp_path / "z.zip")) == [("a.jpg", NOISE)]
    out, refused = rezipped(data, {0: b"new" * 999})
    assert not refused
    assert payload_of(out) == b"new" * 999
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(io.BytesIO(out)) as new:
        assert new.infolist()[0].compress_type == method
        assert new.read("b.txt") == old.read("b.txt") == b"b" * 500
    (tmp_path / "z.zip").write_bytes(out)
    assert all_payloads(the_only_source(tmp_path / "z.zip")) == [("a.jpg", b"new" * 999)]


@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip here")
def test_unzip_reads_what_was_packed_anew_by_bzip2(tmp_path: Path) -> None:
    out, _ = rezipped(zip_in(zipfile.ZIP_BZIP2, NOISE), {0: b"new" * 999})
    (tmp_path / "z.zip").write_bytes(out)
    assert subprocess.run(["unzip", "-tqq", tmp_path / "z.zip"]).returncode == 0


def test_an_lzma_member_without_a_marker_at_its_end_gets_one_and_says_so() -> None:
    data = zip_in(zipfile.ZIP_LZMA, NOISE)
    for at in (data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8):
        data = data[:at] + struct.pack("<H", 0) + data[at + 2 :]
    out, _ = rezipped(data, {0: b"new"})
    assert struct.unpack_from("<H", out, 6) == (2,)
    assert struct.unpack_from("<H", out, out.index(b"PK\1\2") + 8) == (2,)
    assert payload_of(out) == b"new"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_damaged_member_is_unreadable_and_cannot_be_changed(method: int, tmp_path: Path) -> None:
    data = bytearray(zip_in(method, NOISE))
    start = 30 + len("a.jpg")
    data[start : start + 12] = b"\xff" * 12
    (tmp_path / "z.zip").write_bytes(data)
    ((_, error),) = all_payloads(the_only_source(tmp_path / "z.zip"))
    assert getattr(error, "reason", "") == "unreadable"
    assert rezipped(bytes(data), {0: b"new"})[1] == {0}


@settings(deadline=None, max_examples=30)
@given(
    payload=st.binary(max_size=5000),
    compression=st.sampled_from(["deflate", "bzip2", "lzma", "zstd"]),
)
def test_what_is_packed_is_unpacked_to_the_same(payload: bytes, compression: Compression) -> None:
    heads = {
        "deflate": b"",
        "bzip2": b"BZh9",
        "lzma": b"\t\4\5\0" + bytes([93]) + (1 << 20).to_bytes(4, "little"),
        "zstd": zstd.compress(b"x"),
    }
    packed = packed_like(payload, compression, 0, heads[compression])
    assert unpacked(bytes(packed), compression, len(payload)) == payload


def test_a_bomb_of_any_method_gives_no_more_than_was_declared(tmp_path: Path) -> None:
    zeros = bytes(3_000_000)
    for compression, method in METHODS.items():
        data = zip_in(method, zeros)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = archive.infolist()[0].compress_size
        start = 30 + len("a.jpg")
        packed = data[start : start + size]
        assert len(unpacked(packed, compression, 1000)) == 1001  # type: ignore[arg-type]


def test_a_header_of_lzma_that_asks_for_gigabytes_is_refused() -> None:
    forged = b"\t\4\5\0" + bytes([93]) + b"\xff" * 40
    with pytest.raises(BrokenStreamError, match="cannot be"):
        unpacked(forged, "lzma", 1000)


def test_a_mapped_file_is_packed_into_a_mapped_file(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(NOISE * 20)
    packed = packed_like(mapped_payload(tmp_path / "large"), "deflate", 0, b"")
    assert type(packed).__name__ == "mmap"
    assert zlib.decompress(bytes(packed), -zlib.MAX_WBITS) == NOISE * 20
