"""METS files: which files they name, and other values in the same bytes."""

import hashlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fixity.findings import ChangedFile
from pipelines.fixity.lists import is_list_name, listed_digests
from pipelines.fixity.loose import LooseFile, LooseLists
from pipelines.fixity.mets import mets_files
from pipelines.fixity.stored_file import StoredFile
from pipelines.fixity.xml_lists import without_described_values
from pipelines.fixity.xml_values import with_other_values
from pipelines.storage.local import LocalPlace

OLD = hashlib.md5(b"old").hexdigest()
XLINK = "xmlns:xlink='http://www.w3.org/1999/xlink'"


def mets(*files: str) -> bytes:
    """A METS file as libraries write it, with odd spaces and comments that are to stay."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n<!-- Büch > "er" -->\n'
        f'<mets:mets xmlns:mets="http://www.loc.gov/METS/" {XLINK}>\n'
        f" <mets:fileSec><mets:fileGrp USE='MAX'>{''.join(files)}</mets:fileGrp></mets:fileSec>\n"
        "</mets:mets>\n"
    ).encode()


def file(href: str, attributes: str) -> str:
    return f"<mets:file ID='f>1' {attributes}\n><mets:FLocat xlink:href='{href}'/></mets:file>"


@pytest.mark.parametrize("name", ["mets.xml", "box/PPN123_mets.xml", "a.METS.xml", "x/b.mets"])
def test_names_of_mets_files(name: str) -> None:
    assert is_list_name(name)


@pytest.mark.parametrize("name", ["page.xml", "kismets.xml", "mets.jpg", "metsx.xml"])
def test_names_that_are_none(name: str) -> None:
    assert not is_list_name(name)


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("page.tif", "box/page.tif"),
        ("./max/page%201.tif", "box/max/page 1.tif"),
        ("file://./page.tif", "box/page.tif"),
        ("file:page.tif", "box/page.tif"),
        ("../page.tif", "page.tif"),
    ],
)
def test_where_the_named_files_lie(href: str, path: str) -> None:
    content = mets(file(href, f'CHECKSUM="{OLD}" SIZE=" 3 "'))
    (named,) = mets_files("box/mets.xml", content)
    assert named.path == path
    assert named.checksum.text == OLD and named.size.text == " 3 "
    (listed,) = listed_digests("box/mets.xml", content)
    assert (listed.path, listed.algorithm, listed.digest) == (path, "md5", OLD)


def test_the_second_version_of_mets_is_read_too() -> None:
    content = (
        b"<mets xmlns='http://www.loc.gov/METS/v2'><file SIZE='3'><FLocat LOCREF='a.tif'/></file>"
        b"</mets>"
    )
    (named,) = mets_files("mets.xml", content)
    assert (named.path, named.checksum, named.size.text) == ("a.tif", None, "3")


def test_what_lies_elsewhere_or_is_no_sound_xml_is_passed_over() -> None:
    for href in ("https://example.org/a.tif", "file:///srv/a.tif", "../../a.tif", "urn:nbn:de:1"):
        assert mets_files("box/mets.xml", mets(file(href, "SIZE='3'"))) == []
    sound = mets(file("a.tif", "SIZE='3'"))
    assert mets_files("mets.xml", sound[:-5]) == []
    bomb = sound.replace(b"<!-- ", b'<!DOCTYPE m [<!ENTITY a "b">]><!-- ')
    assert mets_files("mets.xml", bomb) == []


@pytest.mark.parametrize(
    ("attributes", "algorithm"),
    [
        ("CHECKSUM='1A2B3C' CHECKSUMTYPE='CRC32'", "crc32"),
        ("CHECKSUM='01a2b3c4' CHECKSUMTYPE='Adler-32'", "adler32"),
        (f"CHECKSUM='{OLD}' CHECKSUMTYPE='MD5'", "md5"),
        (f"CHECKSUM='{OLD}' CHECKSUMTYPE='md5sum'", "md5"),
        (f"CHECKSUM='{'0' * 64}' CHECKSUMTYPE='SHA-256'", "sha256"),
        (f"CHECKSUM='{'0' * 128}' CHECKSUMTYPE='WHIRLPOOL'", "whirlpool"),
        (f"CHECKSUM='{OLD}' CHECKSUMTYPE='HAVAL'", "haval"),
    ],
)
def test_a_checksum_is_of_the_type_that_is_named(attributes: str, algorithm: str) -> None:
    (listed,) = listed_digests("mets.xml", mets(file("a.tif", attributes)))
    assert listed.algorithm == algorithm


@pytest.mark.parametrize(
    "attributes",
    [
        "CHECKSUM='1a2b3c4d'",
        f"CHECKSUM='{OLD}' CHECKSUMTYPE='SHA-1'",
        f"CHECKSUM='{OLD}' CHECKSUMTYPE='CRC32'",
        "CHECKSUM='none' CHECKSUMTYPE='CRC32'",
    ],
)
def test_a_checksum_that_cannot_be_told_is_passed_over(attributes: str) -> None:
    assert listed_digests("mets.xml", mets(file("a.tif", attributes))) == []


def test_checksums_of_changed_files_are_renewed_and_other_algorithms_named(tmp_path: Path) -> None:
    for name, data in (("old", b"old"), ("new", b"changed")):
        (tmp_path / name).write_bytes(data)
    place = LocalPlace(str(tmp_path))
    changed = LooseFile(
        ChangedFile("a.tif", "", "", "", 3, 7), StoredFile(place, "old"), StoredFile(place, "new")
    )
    old_crc, old_adler = f"{zlib.crc32(b'old'):X}", f"{zlib.adler32(b'old'):x}"
    new_crc, new_adler = f"{zlib.crc32(b'changed'):08X}", f"{zlib.adler32(b'changed'):x}"
    unknown = "CHECKSUM='AbC=' CHECKSUMTYPE='MNP'"

    def content(crc: str, adler: str) -> bytes:
        crc_file = file("a.tif", f"CHECKSUMTYPE='CRC32' CHECKSUM='{crc}'")
        return mets(crc_file, file("a.tif", f"CHECKSUM='{adler}' CHECKSUMTYPE='Adler-32'"))

    lists = {
        "mets.xml": content(old_crc, old_adler),
        "b_mets.xml": mets(file("a.tif", unknown)),
        "c_mets.xml": mets(file("b.tif", unknown)),
    }
    one, left = LooseLists({"a.tif": changed}, lists.__getitem__).settle(lists)

    assert one.wanted == content(new_crc, new_adler)
    assert one.to_checked("updated").state == "updated"
    assert left.wanted == lists["b_mets.xml"] and left.algorithm == "mnp"
    assert left.to_checked("updated").state == "stale"


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), max_size=6))
def test_other_values_leave_every_other_byte(sizes: list[tuple[int, int]]) -> None:
    pages = [file(f"{number}.tif", f"SIZE='{old}'") for number, (old, _) in enumerate(sizes)]
    new_pages = [file(f"{number}.tif", f"SIZE='{new}'") for number, (_, new) in enumerate(sizes)]
    content = mets(*pages)
    named = mets_files("mets.xml", content)
    values = {one.size: str(new) for one, (_, new) in zip(named, sizes, strict=True)}
    assert with_other_values(content, values) == mets(*new_pages)
    assert without_described_values(content) == without_described_values(mets(*new_pages))
