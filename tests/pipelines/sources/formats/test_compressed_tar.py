"""Compressed tars of every format: read, written anew like the original, and never trusted."""

import io
import lzma
import os
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.errors import ImageError
from pipelines.records import SourceKind
from pipelines.sources.discover import discover
from pipelines.sources.formats import archive_format
from pipelines.sources.index import index
from pipelines.sources.members import DamagedArchiveError
from pipelines.sources.read import read_members
from tests.pipelines.sources.archives import BOX, all_payloads, the_only_source
from tests.pipelines.sources.archives import tar_of as plain_tar_of
from tests.pipelines.sources.formats.streams import COMPRESS, DECOMPRESS, TOOLS, by_tool
from tests.pipelines.sources.splicing import Payloads, content, facts_of_tar, respliced, tar_of

NEW_FORMATS = ("tar.bz2", "tar.xz", "tar.zst")


def repacked(kind: SourceKind, data: bytes, payloads: Payloads) -> tuple[bytes, set[int]]:
    """A compressed tar with new payloads, and what was refused."""
    archive = archive_format(kind)
    listed = archive.list_members(io.BytesIO(data))
    members = [member for member in listed if member.position in payloads]
    out = io.BytesIO()
    refused = archive.rewrite(io.BytesIO(data), out, members, payloads.__getitem__)
    return out.getvalue(), refused


def with_tool(kind: SourceKind, data: bytes, *options: str) -> bytes:
    if shutil.which(TOOLS[kind]) is None:
        pytest.skip(f"{TOOLS[kind]} is not installed")
    return by_tool(kind, data, *options)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("t.tar.bz2", "tar.bz2"),
        ("t.tbz2", "tar.bz2"),
        ("t.tbz", "tar.bz2"),
        ("t.tar.xz", "tar.xz"),
        ("t.TXZ", "tar.xz"),
        ("t.tar.zst", "tar.zst"),
        ("t.tzst", "tar.zst"),
        ("t.tgz", "tar.gz"),
    ],
)
def test_the_images_of_a_compressed_tar_are_read_in_order(
    tmp_path: Path, name: str, kind: SourceKind
) -> None:
    (tmp_path / name).write_bytes(COMPRESS[kind](plain_tar_of(BOX)))
    (source,) = discover(str(tmp_path))
    assert source.kind == kind
    expected = [(member, data) for member, data in BOX if not member.endswith(".txt")]
    assert all_payloads(source) == expected


@pytest.mark.parametrize("kind", COMPRESS)
@settings(deadline=None, max_examples=20)
@given(
    members=st.lists(
        st.tuples(st.text("abc/éx", min_size=1, max_size=120), st.binary(max_size=1500)), max_size=6
    ),
    data=st.data(),
)
def test_any_compressed_tar_is_spliced_like_the_tar_inside(
    kind: SourceKind, members: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    members = [(name.strip("/") or "x", payload) for name, payload in members]
    tar = tar_of(members)
    changes: Payloads = {}
    if members:
        positions = st.integers(1, len(members))
        changes = data.draw(st.dictionaries(positions, st.binary(max_size=3000)))
    out, refused = repacked(kind, COMPRESS[kind](tar), changes)
    assert (DECOMPRESS[kind](out), refused) == respliced(tar, changes)


@pytest.mark.parametrize("kind", COMPRESS)
def test_the_formats_own_program_reads_what_is_written(kind: SourceKind) -> None:
    tar = tar_of(content())
    out, _ = repacked(kind, with_tool(kind, tar), {2: b"new"})
    with_tool(kind, out, "-t")
    assert facts_of_tar(with_tool(kind, out, "-d"))[2]["data"] == b"new"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("tar.bz2", ["-1"]),
        ("tar.bz2", ["-9"]),
        ("tar.xz", ["-T1", "-0"]),
        ("tar.xz", ["-T1", "-1"]),
        ("tar.xz", ["-T1", "-6"]),
        ("tar.xz", ["-T1", "-7"]),
        ("tar.xz", ["-T1", "--check=none"]),
        ("tar.xz", ["-T1", "--check=sha256"]),
        ("tar.xz", ["-T1", "--lzma2=preset=6,dict=3MiB"]),
    ],
    ids=str,
)
def test_a_compressed_tar_with_the_payloads_it_had_is_the_same_bytes(
    kind: SourceKind, options: list[str]
) -> None:
    packed = with_tool(kind, tar_of(content(40)), *options)
    assert repacked(kind, packed, {1: content()[0][1]}) == (packed, set())


def zstd_header(data: bytes) -> tuple[int, int]:
    """Whether a checksum follows, and the window, of a frame whose window is not its content."""
    assert data[:4] == struct.pack("<I", 0xFD2FB528)
    assert not data[4] & 0x20
    return data[4] & 0x04, data[5]


@pytest.mark.parametrize("options", [["-1"], ["-3"], ["-9"], ["-19"], ["-3", "--no-check"]])
def test_a_zstd_frame_keeps_its_window_and_its_checksum(options: list[str]) -> None:
    noise = [(f"{number}.jpg", os.urandom(30_000)) for number in range(20)]
    packed = with_tool("tar.zst", tar_of(noise), *options)
    out, _ = repacked("tar.zst", packed, {1: b"new"})
    assert zstd_header(out) == zstd_header(packed)
    # Noise is not compressed, but tables and their headers differ from level to level.
    assert len(out) < len(packed) - 29_000


def test_a_small_zstd_frame_that_shows_no_window_is_written_at_the_default_level() -> None:
    tar = tar_of(content())
    out, _ = repacked("tar.zst", zstd.compress(tar, 19), {1: content()[0][1]})
    assert zstd.decompress(out) == tar
    assert zstd_header(out)[1] == 11 << 3  # 2 MB, the window of level 3


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_tar_in_several_streams_with_zeros_between_is_read_whole(
    tmp_path: Path, kind: SourceKind
) -> None:
    tar = plain_tar_of(BOX)
    compress = COMPRESS[kind]
    pieces = [compress(tar[:700]), compress(b""), compress(tar[700:5000]), compress(tar[5000:])]
    path = tmp_path / f"t.{kind}"
    path.write_bytes(bytes(8).join(pieces) + bytes(100))
    assert len(all_payloads(the_only_source(path))) == 3
    out, _ = repacked(kind, path.read_bytes(), {1: b"new"})
    assert DECOMPRESS[kind](out) == respliced(tar, {1: b"new"})[0]


def test_a_zstd_file_with_skippable_frames_is_read_whole(tmp_path: Path) -> None:
    note = struct.pack("<2I", 0x184D2A5E, 5) + b"a key"
    tar = plain_tar_of(BOX)
    data = note + zstd.compress(tar[:4000]) + note + zstd.compress(tar[4000:]) + note
    (tmp_path / "t.tar.zst").write_bytes(data)
    assert len(all_payloads(the_only_source(tmp_path / "t.tar.zst"))) == 3
    out, _ = repacked("tar.zst", data, {1: b"new"})
    assert zstd.decompress(out) == respliced(tar, {1: b"new"})[0]


def damage_of(path: Path) -> str:
    """What indexing says of an archive that is damaged."""
    with pytest.raises(DamagedArchiveError) as caught:
        index(the_only_source(path))
    return str(caught.value)


@pytest.mark.parametrize("keep", [0.001, 0.3, 0.6, 0.95, 0.999])
@pytest.mark.parametrize("kind", COMPRESS)
def test_a_stream_that_is_cut_is_damaged(tmp_path: Path, kind: SourceKind, keep: float) -> None:
    packed = COMPRESS[kind](plain_tar_of([(f"{i}.bin", os.urandom(3000)) for i in range(20)]))
    path = tmp_path / f"t.{kind}"
    path.write_bytes(packed[: max(1, int(len(packed) * keep))])
    assert "ended before the end-of-stream marker" in damage_of(path)


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_flipped_byte_is_damage_or_harmless_but_never_another_picture(
    tmp_path: Path, kind: SourceKind
) -> None:
    noise = [(f"{i}.jpg", os.urandom(1000)) for i in range(5)]
    tar = plain_tar_of(noise)
    # The program of zstd adds a checksum; that of Python does not.
    packed = zstd.compress(tar, options={zstd.CompressionParameter.checksum_flag: 1})
    if kind != "tar.zst":
        packed = COMPRESS[kind](tar)
    path = tmp_path / f"t.{kind}"
    for number in range(0, len(packed), 37):
        spoilt = bytearray(packed)
        spoilt[number] ^= 0x55
        path.write_bytes(spoilt)
        try:
            payloads = all_payloads(the_only_source(path))
        except DamagedArchiveError:
            continue
        assert payloads == noise


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("behind", [b"garbage", b"\0\0\0\0garbage"])
def test_something_behind_the_stream_is_damage(
    tmp_path: Path, kind: SourceKind, behind: bytes
) -> None:
    (tmp_path / f"t.{kind}").write_bytes(COMPRESS[kind](plain_tar_of(BOX)) + behind)
    damage_of(tmp_path / f"t.{kind}")


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_stream_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: SourceKind
) -> None:
    path = tmp_path / f"t.{kind}"
    path.write_bytes(COMPRESS[kind](plain_tar_of([*BOX, ("b.bin", bytes(30_000_000))])))
    assert len(index(the_only_source(path)).members) == len(BOX) + 1
    monkeypatch.setattr("pipelines.sources.formats.compressed_tar.BOMB_STREAM", 1 << 20)
    assert "unpacks to more than 200 times its size" in damage_of(path)


def test_a_zstd_frame_that_needs_a_dictionary_is_told(tmp_path: Path) -> None:
    samples = [b"%d moire %d" % (number, number * number) for number in range(500)]
    dictionary = zstd.train_dict(samples, 2000)
    packed = zstd.compress(plain_tar_of(BOX), zstd_dict=dictionary)
    (tmp_path / "t.tar.zst").write_bytes(packed)
    assert "dictionary" in damage_of(tmp_path / "t.tar.zst").lower()


def test_windows_of_more_than_128_mb_are_not_read(tmp_path: Path) -> None:
    options = {
        zstd.CompressionParameter.window_log: 28,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(plain_tar_of(BOX)) + packer.flush()
    (tmp_path / "t.tar.zst").write_bytes(packed)
    assert "memory" in damage_of(tmp_path / "t.tar.zst")

    data = bytearray(lzma.compress(plain_tar_of(BOX)))
    # The code of the dictionary's size, 40 for 4 GB, and the checksum of the block's header.
    header_size = 4 * (data[12] + 1)
    data[16] = 40
    checksum = struct.pack("<I", zlib.crc32(data[12 : 12 + header_size - 4]))
    data[12 + header_size - 4 : 12 + header_size] = checksum
    (tmp_path / "t.tar.xz").write_bytes(data)
    assert "emory" in damage_of(tmp_path / "t.tar.xz")


@pytest.mark.parametrize("kind", NEW_FORMATS)
def test_what_broke_a_stream_is_told_with_each_member_behind_it(
    tmp_path: Path, kind: SourceKind
) -> None:
    path = tmp_path / f"t.{kind}"
    packed = COMPRESS[kind](plain_tar_of([(f"{i}.bin", os.urandom(400_000)) for i in range(8)]))
    path.write_bytes(packed)
    members = index(the_only_source(path)).members
    path.write_bytes(packed[: len(packed) // 2])
    payloads = [payload for _, payload in read_members(the_only_source(path), members)]
    assert isinstance(payloads[0], bytes)
    assert isinstance(payloads[7], ImageError)
    assert "ended before the end-of-stream marker was reached" in str(payloads[7])


def test_a_webdataset_shard_keeps_the_parts_of_each_sample_together_and_in_order() -> None:
    parts = ("__key__", "cls", "jpg", "json", "seg.png")
    names = [f"shard/{sample:06}.{part}" for sample in range(20) for part in parts]
    tar = tar_of([(name, name.encode() * 40) for name in names])
    positions = [1 + number for number, name in enumerate(names) if name.endswith("jpg")]
    for kind in COMPRESS:
        out, refused = repacked(kind, COMPRESS[kind](tar), dict.fromkeys(positions, b"new"))
        before, after = facts_of_tar(tar), facts_of_tar(DECOMPRESS[kind](out))
        assert not refused
        assert [fact["name"] for fact in after] == [fact["name"] for fact in before]
        for position, (old, new) in enumerate(zip(before, after, strict=True)):
            if position in positions:
                assert new["data"] == b"new"
            else:
                assert new == old
