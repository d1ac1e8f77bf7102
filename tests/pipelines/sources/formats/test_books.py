"""Comic books and e-books are zips and tars: their pictures change, and nothing else does."""

import io
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from pipelines.sources.discover import discover
from pipelines.sources.formats import archive_format
from tests.pipelines.sources.archives import BOX, JPEG, PNG, all_payloads, tar_of, zip_of
from tests.pipelines.sources.splicing import Payloads

TEXT = b"moire " * 400


def rezipped(data: bytes, payloads: Payloads) -> bytes:
    archive = archive_format("zip")
    listed = archive.list_members(io.BytesIO(data))
    members = [member for member in listed if member.position in payloads]
    out = io.BytesIO()
    assert archive.rewrite(io.BytesIO(data), out, members, payloads.__getitem__) == set()
    return out.getvalue()


def packed_members(data: bytes) -> list[tuple[str, int, int, bytes]]:
    """Name, method, flags and packed bytes of each member, in the order of their bytes."""
    members = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            start = info.header_offset
            start += 30 + int.from_bytes(data[start + 26 : start + 28], "little")
            start += int.from_bytes(
                data[info.header_offset + 28 : info.header_offset + 30], "little"
            )
            packed = data[start : start + info.compress_size]
            members.append((info.filename, info.compress_type, info.flag_bits, packed))
    return members


def epub() -> bytes:
    """An e-book: the mimetype first and stored, as its container format demands."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", b"application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", b"<container/>" * 20)
        archive.writestr("OEBPS/cover.jpg", JPEG)
        archive.writestr("OEBPS/page.xhtml", TEXT)
        archive.writestr("OEBPS/plate.png", PNG, zipfile.ZIP_STORED)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [("a.cbz", "zip", zip_of(BOX)), ("a.CBT", "tar", tar_of(BOX)), ("a.epub", "zip", zip_of(BOX))],
)
def test_the_pictures_of_a_book_are_read(tmp_path: Path, name: str, kind: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    (source,) = discover(str(tmp_path))
    assert source.kind == kind
    assert [member for member, _ in all_payloads(source)] == ["a/2.jpg", "a/1.png", "a/empty.jpg"]


def test_the_mimetype_of_an_e_book_stays_first_and_stored() -> None:
    before = epub()
    after = rezipped(before, {2: b"new" * 500, 4: b"new"})
    # Signature, version, flags, method, ... name: where the container format wants them.
    assert after[30:58] == b"mimetypeapplication/epub+zip"
    assert after[:58] == before[:58]


def test_members_that_are_not_changed_keep_their_packed_bytes() -> None:
    before, after = packed_members(epub()), packed_members(rezipped(epub(), {2: b"new" * 500}))
    assert [member[:3] for member in after] == [member[:3] for member in before]
    assert [member[3] for member in after[3:]] == [member[3] for member in before[3:]]
    assert after[0] == before[0] and after[1] == before[1]
    assert zlib.decompress(after[2][3], -15) == b"new" * 500


@pytest.mark.parametrize(("option", "level"), [("-1", 1), ("-6", 6), ("-9", 9)])
def test_a_member_is_deflated_with_the_effort_that_its_flags_note(
    tmp_path: Path, option: str, level: int
) -> None:
    if shutil.which("zip") is None or shutil.which("unzip") is None:
        pytest.skip("Info-ZIP is not installed")
    (tmp_path / "a.txt").write_bytes(TEXT)
    subprocess.run(["zip", "-q", option, "a.zip", "a.txt"], cwd=tmp_path, check=True)
    new = b" ".join(b"%d" % (number * number % 1009) for number in range(5000))
    after = rezipped((tmp_path / "a.zip").read_bytes(), {0: new})
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    assert packed_members(after)[0][3] == packer.compress(new) + packer.flush()
    (tmp_path / "b.zip").write_bytes(after)
    subprocess.run(["unzip", "-qt", "b.zip"], cwd=tmp_path, check=True)
