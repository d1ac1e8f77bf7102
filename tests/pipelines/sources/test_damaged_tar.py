"""Tars and compressed tars that are cut, mangled or built to do harm."""

import gzip
import os
import tarfile
from pathlib import Path

import pytest

from demoire.errors import ImageError
from pipelines.sources.index import index
from pipelines.sources.members import DamagedArchiveError
from pipelines.sources.read import read_members
from tests.pipelines.sources.archives import BOX, JPEG, PNG, all_payloads, tar_of, the_only_source

TAR = tar_of(BOX)


OTHER_TARS = {
    "not a tar": b"nonsense" * 1000,
    "empty": b"",
    "cut in a payload": TAR[: 512 + 100],
    "cut in a header": TAR[: TAR.rindex(b"a/1.png") + 40],
    "a bad header in the middle": TAR.replace(b"a/readme.txt", b"b/readme.txt"),
    "two tars in one": TAR + TAR,
    "a payload of 8 GB that is not there": tar_of([("a.jpg", JPEG)]).replace(
        b"%011o" % len(JPEG), b"77777777777"
    ),
}


@pytest.mark.parametrize("damage", OTHER_TARS)
def test_a_damaged_tar_is_told_by_name(tmp_path: Path, damage: str) -> None:
    for name, data in (
        ("t.tar", OTHER_TARS[damage]),
        ("t.tar.gz", gzip.compress(OTHER_TARS[damage])),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DamagedArchiveError, match=rf"{name} is damaged .* copied as it is"):
            index(the_only_source(tmp_path / name))


def checksummed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\xff" * 10 + b"\xfc\x00"])
def test_a_negative_size_does_not_turn_the_reader_in_circles(tmp_path: Path, size: bytes) -> None:
    header = bytearray(TAR[:512])
    header[124:136] = size
    (tmp_path / "t.tar").write_bytes(checksummed(header) + bytes(10240))
    with pytest.raises(DamagedArchiveError):
        index(the_only_source(tmp_path / "t.tar"))


def test_a_giant_or_endless_extended_header_is_refused(tmp_path: Path) -> None:
    header = bytearray(TAR[:512])
    header[156:157] = tarfile.XHDTYPE
    header[124:136] = b"%011o\0" % (1 << 32)
    (tmp_path / "t.tar").write_bytes(checksummed(header) + bytes(10240))
    with pytest.raises(DamagedArchiveError, match="header of"):
        index(the_only_source(tmp_path / "t.tar"))
    header[156:157], header[124:136] = tarfile.GNUTYPE_LONGNAME, b"%011o\0" % 0
    (tmp_path / "t.tar").write_bytes(checksummed(header) * 5000)
    with pytest.raises(DamagedArchiveError):
        index(the_only_source(tmp_path / "t.tar"))


def test_a_tar_without_end_marker_is_whole(tmp_path: Path) -> None:
    data = tar_of([("a.jpg", JPEG)])
    (tmp_path / "t.tar").write_bytes(data[: 512 + -(-len(JPEG) // 512) * 512])
    assert all_payloads(the_only_source(tmp_path / "t.tar")) == [("a.jpg", JPEG)]


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95, 0.999])
def test_a_cut_gzip_is_damaged(tmp_path: Path, keep: float) -> None:
    packed = gzip.compress(tar_of([(f"{i}.jpg", JPEG) for i in range(20)]))
    (tmp_path / "t.tgz").write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(DamagedArchiveError, match="damaged"):
        index(the_only_source(tmp_path / "t.tgz"))


def test_a_compressed_tar_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.tar.gz"
    path.write_bytes(gzip.compress(tar_of([("a.png", PNG), ("b.bin", bytes(30_000_000))])))
    assert len(index(the_only_source(path)).members) == 2
    monkeypatch.setattr("pipelines.sources.formats.compressed_tar.BOMB_STREAM", 1 << 20)
    with pytest.raises(DamagedArchiveError, match="unpacks to more than 200 times its size"):
        index(the_only_source(path))


def test_what_broke_a_compressed_tar_is_told_with_each_member_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "t.tgz"
    packed = gzip.compress(tar_of([(f"{i}.bin", os.urandom(2000)) for i in range(5)]))
    path.write_bytes(packed)
    members = index(the_only_source(path)).members
    path.write_bytes(packed[: len(packed) // 2])
    payloads = [payload for _, payload in read_members(the_only_source(path), members)]
    assert isinstance(payloads[0], bytes)
    assert isinstance(payloads[4], ImageError)
    assert str(payloads[4]) == (
        "Member 4 cannot be read out of its archive: "
        "Compressed file ended before the end-of-stream marker was reached."
    )
