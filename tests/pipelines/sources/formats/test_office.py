"""Pictures in office documents: cleaned in their place when asked for, and else mirrored."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope
from pipelines.fixity.changes import gather_changes
from pipelines.plan.plan import make_plan
from pipelines.sources.index import index
from pipelines.sources.not_looked_into import count_not_looked_into
from tests.pipelines.conftest import draw, tree
from tests.pipelines.publish.job import Job, commit, rows_of
from tests.pipelines.sources.archives import Content, tar_of, the_only_source

STRIPED, PLAIN = draw(True, 50), draw(False, 51)
TYPES = b'<?xml version="1.0"?><Types><Default Extension="jpg" ContentType="image/jpeg"/></Types>'
RELATIONS = b'<?xml version="1.0"?><Relationships><Relationship Id="rId1"/></Relationships>'
LETTER: Content = [
    ("[Content_Types].xml", TYPES),
    ("_rels/.rels", RELATIONS),
    ("word/document.xml", b"<w:document/>" * 40),
    ("word/media/image1.jpg", STRIPED),
    ("word/media/image2.jpg", PLAIN),
    ("word/embeddings/table.bin", b"no picture"),
]
MANIFEST = b'<manifest:manifest><manifest:file-entry manifest:full-path="/"/></manifest:manifest>'
TEXT: Content = [
    ("mimetype", b"application/vnd.oasis.opendocument.text"),
    ("content.xml", b"<office:document-content/>" * 20),
    ("Pictures/1.jpg", STRIPED),
    ("META-INF/manifest.xml", MANIFEST),
]


def document(content: Content) -> bytes:
    """A document whose text is deflated, and whose first member and pictures are stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, (name, data) in enumerate(content):
            is_packed = number > 0 and name.endswith((".xml", ".rels"))
            method = zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED
            archive.writestr(name, data, method)
    return buffer.getvalue()


def packed_facts(data: bytes) -> list[tuple[str, int, int, int]]:
    """Of each member: name, method, packed size and checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
    return [(one.filename, one.compress_type, one.compress_size, one.CRC) for one in infos]


def assert_only_changed(before: bytes, after: bytes, changed: set[str]) -> None:
    old, new = packed_facts(before), packed_facts(after)
    assert [facts[:2] for facts in old] == [facts[:2] for facts in new]
    differing = {one[0] for one, other in zip(old, new, strict=True) if one != other}
    assert differing == changed


@pytest.fixture
def box(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    box.mkdir()
    (box / "letter.DOCX").write_bytes(document(LETTER))
    (box / "text.odt").write_bytes(document(TEXT))
    (box / "empty.xlsx").write_bytes(document(LETTER[:3]))
    (box / "torn.pptx").write_bytes(document(LETTER)[:-40])
    return box


def cleaned(src: Path, dst: Path, config: CleanerConfig) -> Job:
    fingerprint = config.fingerprint()
    destination = Destination.at(str(dst))
    job = Job(
        destination,
        make_plan(destination, PlanScope(str(src), fingerprint), office=config.office),
    )
    cleaner = Cleaner(config)
    for unit in job.units:
        commit(unit, job, cleaner)
    job.publish_all()
    return job


def test_pictures_are_cleaned_in_their_documents(
    box: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    (box / "box.tar").write_bytes(tar_of([("in/letter.docx", document(LETTER))]))
    job = cleaned(box, tmp_path / "out", replace(tiny_config, office=True))
    told = {name: (row["page"], row["status"]) for name, row in rows_of(job, "").items()}
    assert told == {
        "letter.DOCX!/word/media/image1.jpg": (0, "cleaned"),
        "letter.DOCX!/word/media/image2.jpg": (0, "copied"),
        "text.odt!/Pictures/1.jpg": (0, "cleaned"),
    }
    mirror = tree(job.dst)
    assert mirror.keys() == tree(box).keys()
    assert_only_changed(document(LETTER), mirror["letter.DOCX"], {"word/media/image1.jpg"})
    assert_only_changed(document(TEXT), mirror["text.odt"], {"Pictures/1.jpg"})
    assert mirror["text.odt"][30:77] == b"mimetypeapplication/vnd.oasis.opendocument.text"
    for name in ("empty.xlsx", "torn.pptx"):
        assert mirror[name] == (box / name).read_bytes()
    in_tar = {name: row["status"] for name, row in rows_of(job, "box.tar").items()}
    assert in_tar == {
        "in/letter.docx!/word/media/image1.jpg": "cleaned",
        "in/letter.docx!/word/media/image2.jpg": "copied",
    }
    assert job.planned("").not_looked_into == {"files packed as .pptx": 1}
    changes = gather_changes(job.destination, job.plan)
    assert sorted(changes.loose) == ["box.tar", "letter.DOCX", "text.odt"]
    assert [file.member for file in changes.members] == ["in/letter.docx"]
    assert job.prove().images == 5


def test_without_being_asked_for_they_are_mirrored_and_counted(
    box: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    job = cleaned(box, tmp_path / "out", tiny_config)
    assert tree(job.dst) == tree(box)
    suffixes = (".docx", ".odt", ".xlsx", ".pptx")
    expected = {f"files packed as {suffix}": 1 for suffix in suffixes}
    assert job.planned("").not_looked_into == expected
    assert job.prove().images == 0


def test_asking_for_them_changes_the_fingerprint_and_not_asking_does_not(
    tiny_config: CleanerConfig,
) -> None:
    asked = replace(tiny_config, office=True)
    assert asked.fingerprint() != tiny_config.fingerprint()
    assert replace(asked, office=False).fingerprint() == tiny_config.fingerprint()


KEYS = MANIFEST.replace(b'"/"/>', b'"1.jpg"><manifest:encryption-data/></manifest:file-entry>')


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.docx", document([*LETTER, ("_xmlsignatures/sig1.xml", b"<x/>")]), "signed"),
        ("a.odt", document([*TEXT, ("META-INF/documentsignatures.xml", b"<x/>")]), "signed"),
        ("a.odt", document([*TEXT[:3], ("META-INF/manifest.xml", KEYS)]), "encrypted"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted"),
    ],
)
def test_signed_and_encrypted_documents_have_one_row_with_the_reason(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    source = the_only_source(tmp_path)
    listed = index(source, office=True)
    assert [(image.name, image.reason) for image in listed.images] == [(name, reason)]
    assert not count_not_looked_into(source, listed.members)
