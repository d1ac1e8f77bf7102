"""PREMIS: digests and sizes of files that changed, in files of its own and inside METS."""

import hashlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from demoire.cleaning.cleaner import Cleaner
from pipelines.fixity.fixity import check_fixity
from pipelines.fixity.lists import is_list_name, listed_digests
from pipelines.fixity.premis import premis_objects
from tests.pipelines.conftest import draw, write_tar
from tests.pipelines.publish.job import cleaned_job

SPACE = "http://www.loc.gov/premis/v3"
STRIPED = draw(True, 40)


def premis_object(name: str, data: bytes, *algorithms: str, element: str = "originalName") -> str:
    """An object as Archivematica and E-ARK's tools write it."""
    fixities = ""
    for algorithm in algorithms:
        digest = hashlib.new(algorithm.replace("-", "").lower(), data).hexdigest()
        fixities += (
            f"<premis:fixity><premis:messageDigestAlgorithm>{algorithm}"
            f"</premis:messageDigestAlgorithm>\n<premis:messageDigest>\n  {digest}\n"
            "</premis:messageDigest></premis:fixity>"
        )
    return (
        f"<premis:object xmlns:premis='{SPACE}'>"
        "<premis:objectIdentifier><premis:objectIdentifierType>UUID</premis:objectIdentifierType>"
        "<premis:objectIdentifierValue>7f1c</premis:objectIdentifierValue>"
        f"</premis:objectIdentifier><premis:objectCharacteristics>{fixities}"
        f"<premis:size>{len(data)}</premis:size></premis:objectCharacteristics>"
        f"<premis:{element}>{name}</premis:{element}></premis:object>"
    )


def premis(*objects: str) -> bytes:
    body = "\n".join(objects)
    return f"<?xml version='1.0'?>\n<!-- Bücher --><premis>{body}</premis>\n".encode()


@pytest.mark.parametrize("name", ["premis.xml", "metadata/premis_book.xml", "book.PREMIS.xml"])
def test_names_of_premis_files(name: str) -> None:
    assert is_list_name(name)


def test_an_object_tells_digests_and_size_where_they_stand() -> None:
    content = premis(premis_object("a.tif", b"old", "MD5", "SHA-256"))
    (told,) = premis_objects(content)
    assert told.name == "a.tif"
    assert told.size.text == "3"
    for value in (told.size, *(one.digest for one in told.fixities)):
        written = value.text.encode()
        assert content[value.offset : value.offset + len(written)] == written
    listed = listed_digests("box/premis.xml", content)
    assert [(one.path, one.algorithm) for one in listed] == [
        ("box/a.tif", "md5"),
        ("box/a.tif", "sha256"),
    ]


def test_a_text_that_is_written_with_references_is_passed_over() -> None:
    digest = hashlib.md5(b"old").hexdigest()
    content = premis(premis_object("a.tif", b"old", "MD5"))
    odd = content.replace(digest.encode(), b"&#x" + f"{ord(digest[0]):x};{digest[1:]}".encode())
    (told,) = premis_objects(odd)
    assert told.fixities == ()
    assert premis_objects(content[:-5]) == []


def facts_in(content: bytes) -> list[str]:
    """Digests and sizes in a file, as another parser reads them."""
    told = []
    for element in ElementTree.fromstring(content).iter():
        if element.tag in (f"{{{SPACE}}}messageDigest", f"{{{SPACE}}}size"):
            told.append((element.text or "").strip())
    return told


def facts_of(data: bytes, *algorithms: str) -> list[str]:
    digests = [hashlib.new(algorithm, data).hexdigest() for algorithm in algorithms]
    return [*digests, str(len(data))]


def test_values_of_changed_files_are_updated_and_every_other_byte_stays(
    tmp_path: Path, cleaner: Cleaner
) -> None:
    box = tmp_path / "box"
    (box / "data").mkdir(parents=True)
    (box / "metadata/preservation").mkdir(parents=True)
    (box / "data/a.jpg").write_bytes(STRIPED)
    plain = draw(False, 41)
    (box / "data/plain.jpg").write_bytes(plain)
    named = premis_object("%SIPDirectory%objects/a.jpg", STRIPED, "MD5", "SHA-256")
    unnamed = premis_object("/store/77", STRIPED, "SHA-256", element="contentLocationValue")
    untouched = premis_object("plain.jpg", plain, "SHA-1")
    earlier = premis_object("a.jpg", b"before it was scanned anew", "MD5")
    loose = premis(named, unnamed, untouched, earlier)
    (box / "metadata/preservation/premis.xml").write_bytes(loose)
    pointed = premis_object("no/such/name", STRIPED, "SHA-512")
    (box / "mets.xml").write_text(
        "<mets xmlns='http://www.loc.gov/METS/' xmlns:xlink='http://www.w3.org/1999/xlink'>"
        f"<amdSec><techMD ID='t1'>{pointed}</techMD></amdSec><fileSec><file ADMID='x t1'>"
        "<FLocat xlink:href='data/a.jpg'/></file></fileSec></mets>"
    )
    job = cleaned_job(box, tmp_path / "out", cleaner)
    job.publish_all()

    reported = check_fixity(job.destination, job.plan, "report")
    told = [(one.path, one.files, one.wrong_before, one.state) for one in reported.lists]
    assert told == [
        ("metadata/preservation/premis.xml", 1, 0, "stale"),
        ("mets.xml", 1, 0, "stale"),
    ]
    updated = check_fixity(job.destination, job.plan, "update")
    assert not updated.stale

    after = (job.dst / "data/a.jpg").read_bytes()
    assert after != STRIPED
    rewritten = (job.dst / "metadata/preservation/premis.xml").read_bytes()
    assert facts_in(rewritten) == [
        *facts_of(after, "md5", "sha256"),
        *facts_of(after, "sha256"),
        *facts_of(plain, "sha1"),
        *facts_of(b"before it was scanned anew", "md5"),
    ]
    of_mets = (job.dst / "mets.xml").read_bytes()
    assert facts_in(of_mets) == facts_of(after, "sha512")
    back = rewritten.decode()
    for new, old in zip(
        facts_of(after, "md5", "sha256"), facts_of(STRIPED, "md5", "sha256"), strict=True
    ):
        back = back.replace(new, old)
    assert back.encode() == loose


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-1", "SHA-256", "SHA-512"])
def test_inside_an_archive_a_file_is_found_by_any_digest(
    tmp_path: Path, cleaner: Cleaner, algorithm: str
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    plain = draw(False, 41)
    told = premis_object("/store/77", STRIPED, algorithm, element="contentLocationValue")
    untouched = premis_object("/store/78", plain, algorithm, element="contentLocationValue")
    earlier = premis_object("/store/79", b"before it was scanned anew", algorithm)
    members = {"data/a.jpg": STRIPED, "data/plain.jpg": plain}
    members["metadata/premis.xml"] = premis(untouched, earlier, told)
    write_tar(box / "book.tar", members)
    members["metadata/premis.xml"] = premis(untouched, earlier)
    write_tar(box / "other.tar", members)
    job = cleaned_job(box, tmp_path / "out", cleaner)
    job.publish_all()
    (stale,) = check_fixity(job.destination, job.plan, "report").lists
    assert (stale.path, stale.member) == ("book.tar", "metadata/premis.xml")
    assert (stale.files, stale.examples) == (1, ("data/a.jpg",))
