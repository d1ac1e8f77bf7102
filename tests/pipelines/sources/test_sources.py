"""Sources: what is found, how it is indexed, what is read; and what hostile or damaged archives
come to.
"""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from demoire.errors import ImageError, SourceChangedError, UsageError
from pipelines.plan.plan import make_plan
from pipelines.records import Source
from pipelines.sources.coalesce import coalesce
from pipelines.sources.discover import discover
from pipelines.sources.formats.folder import folder_of
from pipelines.sources.index import index
from pipelines.sources.members import DamagedArchiveError
from pipelines.sources.read import read_members
from pipelines.storage.range_file import RangeFile
from tests.s3_server import s3_variables, serve_s3

Content = Sequence[tuple[str, bytes]]


def picture(width: int, height: int, kind: str = "JPEG") -> bytes:
    """Noise, so that its bytes grow with its pixels."""
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


JPEG, PNG = picture(40, 30), picture(20, 10, "PNG")
BOX: Content = [
    ("a/2.jpg", JPEG),
    ("a/readme.txt", b"text"),
    ("a/1.png", PNG),
    ("a/empty.jpg", b""),
]


def tar_of(content: Content, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as tar:
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(content: Content, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content:
            archive.writestr(name, data)
    return buffer.getvalue()


def the_only_source(path: Path) -> Source:
    (source,) = discover(str(path))
    return source


def all_payloads(source: Source) -> list[tuple[str, bytes | ImageError]]:
    images = index(source).images
    return [(member.name, payload) for member, payload in read_members(source, images)]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bucket's folder, seen as s3://box while the environment points there."""
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "box").mkdir()
    with serve_s3(folder, "a-key", "a-secret") as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_variables(endpoint, "a-key", "a-secret").items():
            patch.setenv(name, value)
        yield folder / "box"


def collection(folder: Path) -> None:
    """Two tars, a zip, loose files, and what has to be passed by."""
    for path, data in {
        "top.jpg": JPEG,
        "notes.txt": b"notes",
        "old.TAR": tar_of(BOX),
        "box/new.tar.gz": gzip.compress(tar_of(BOX)),
        "box/all.zip": zip_of(BOX),
        "box/loose/b.jpg": JPEG,
        "box/loose/a.bmp": picture(5, 5, "BMP"),
        ".hidden/x.jpg": JPEG,
        "_demoire/segments/x.jpg": JPEG,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def found(src: str) -> list[tuple[str, str]]:
    return [(source.path, source.kind) for source in discover(src)]


WHOLE_COLLECTION = [
    ("", "folder"),
    ("box/all.zip", "zip"),
    ("box/loose", "folder"),
    ("box/new.tar.gz", "tar.gz"),
    ("old.TAR", "tar"),
]


def test_a_folder_holds_archives_and_folders_of_loose_files(tmp_path: Path) -> None:
    collection(tmp_path)
    assert found(str(tmp_path)) == WHOLE_COLLECTION
    assert found(f"file://{tmp_path}") == WHOLE_COLLECTION


def test_a_bucket_looks_the_same(bucket: Path) -> None:
    collection(bucket / "looks")
    assert found("s3://box/looks") == WHOLE_COLLECTION
    assert found("s3://box/looks/box/*.zip") == [("all.zip", "zip")]
    assert found("s3://box/looks/old.TAR") == [("old.TAR", "tar")]


def test_every_kind_of_source_gives_the_same_members(tmp_path: Path, bucket: Path) -> None:
    for folder, src in ((tmp_path, str(tmp_path)), (bucket / "same", "s3://box/same")):
        collection(folder)
        archives = [source for source in discover(src) if source.kind != "folder"]
        assert len(archives) == 3
        for source in archives:
            members = index(source).members
            assert [(m.position, m.name, m.kind, m.size) for m in members] == [
                (0, "a/2.jpg", "image", len(JPEG)),
                (1, "a/readme.txt", "other", 4),
                (2, "a/1.png", "image", len(PNG)),
                (3, "a/empty.jpg", "image", 0),
            ]
            assert [round(m.megapixels, 6) for m in members] == [0.0012, 0, 0.0002, 0]
            assert all_payloads(source) == [
                ("a/2.jpg", JPEG),
                ("a/1.png", PNG),
                ("a/empty.jpg", b""),
            ]


def test_a_folder_source_holds_what_is_loose_in_it(tmp_path: Path) -> None:
    collection(tmp_path)
    top, loose = (source for source in discover(str(tmp_path)) if source.kind == "folder")
    assert [(m.name, m.kind) for m in index(top).members] == [
        ("notes.txt", "other"),
        ("top.jpg", "image"),
    ]
    assert [name for name, _ in all_payloads(loose)] == ["a.bmp", "b.jpg"]
    place, pattern = folder_of(loose)
    assert (place.uri, pattern) == (str(tmp_path / "box" / "loose"), "")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.TAR", [("old.TAR", "tar")]),
        ("box/*", [("all.zip", "zip"), ("loose", "folder"), ("new.tar.gz", "tar.gz")]),
        ("b*/l*/*.jpg", [("box/loose", "folder")]),
        ("**/*.zip", [("box/all.zip", "zip")]),
        ("[n-o]*", [("", "folder"), ("old.TAR", "tar")]),
        ("*", WHOLE_COLLECTION),
    ],
)
def test_a_glob_keeps_paths_from_its_first_wildcard_on(
    tmp_path: Path, pattern: str, expected: list[tuple[str, str]]
) -> None:
    collection(tmp_path)
    assert found(f"{tmp_path}/{pattern}") == expected


def test_a_glob_that_matches_nothing_is_told(tmp_path: Path) -> None:
    collection(tmp_path)
    with pytest.raises(UsageError, match="matches nothing"):
        discover(f"{tmp_path}/*.7z")


def test_a_glob_takes_only_the_files_it_names(tmp_path: Path) -> None:
    collection(tmp_path)
    assert [
        name for name, _ in all_payloads(the_only_source(tmp_path / "box" / "loose" / "*.jpg"))
    ] == ["b.jpg"]


@pytest.mark.parametrize("name", ["one.jpg", "o[n]e*.jpg"])
def test_one_image_is_a_source_of_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(JPEG)
    (tmp_path / "one2.jpg").write_bytes(PNG)
    source = the_only_source(tmp_path / name)
    assert (source.path, source.kind) == ("", "folder")
    assert all_payloads(source) == [(name, JPEG)]


@pytest.mark.parametrize("content", [None, "folder", "text"])
def test_nothing_to_do_is_told(tmp_path: Path, content: str | None) -> None:
    src = tmp_path / "src.txt"
    if content == "folder":
        src.mkdir()
    elif content == "text":
        src.write_text("text")
    with pytest.raises(UsageError, match=r"src\.txt"):
        discover(str(src))


# Names


def test_long_names_of_every_tar_dialect(tmp_path: Path) -> None:
    name = "x" * 90 + "/" + "y" * 140 + "/猫.jpg"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        (tmp_path / "t.tar").write_bytes(tar_of([(name, JPEG)], form))
        assert all_payloads(the_only_source(tmp_path / "t.tar")) == [(name, JPEG)]
    short = "x" * 90 + "/" + "y" * 90 + ".jpg"
    (tmp_path / "t.tar").write_bytes(tar_of([(short, JPEG)], tarfile.USTAR_FORMAT))
    assert all_payloads(the_only_source(tmp_path / "t.tar")) == [(short, JPEG)]


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    (tmp_path / "t.tar").write_bytes(tar_of([(name, JPEG)], tarfile.GNU_FORMAT))
    (tmp_path / name).write_bytes(JPEG)
    folder, archive = discover(str(tmp_path))
    assert all_payloads(archive) == [(name, JPEG)]
    assert all_payloads(folder) == [(name, JPEG)]
    assert archive.id != folder.id


@pytest.mark.parametrize(
    "name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "C:\\x.jpg", "..\\x.jpg", "\\x.jpg"]
)
def test_a_name_that_leaves_its_folder_is_unsafe(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([(name, JPEG), (name + ".txt", b"text")]))
    (tmp_path / "z.zip").write_bytes(zip_of([(name, JPEG), (name + ".txt", b"text")]))
    for source in discover(str(tmp_path)):
        assert [(m.name, m.kind) for m in index(source).members] == [
            (name, "unsafe"),
            (name + ".txt", "other"),
        ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPEG", "image"),
        ("a.jpg.txt", "other"),
        ("jpg", "other"),
        (".jpg", "other"),
        ("dir.jpg/a", "other"),
        ("._a.jpg", "other"),
        ("__MACOSX/a.jpg", "other"),
        ("a..b/c.png", "image"),
        ("a.psd", "image"),
    ],
)
def test_the_name_says_what_is_an_image(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([(name, b"x")]))
    assert [m.kind for m in index(the_only_source(tmp_path / "t.tar")).members] == [kind]


def test_duplicate_names_are_two_members(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.jpg", JPEG), ("a.jpg", PNG)]))
    assert all_payloads(the_only_source(tmp_path / "t.tar")) == [("a.jpg", JPEG), ("a.jpg", PNG)]


def test_links_devices_and_folders_in_a_tar_are_never_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for number, kind in enumerate(
            [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
        ):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert [m.kind for m in index(the_only_source(tmp_path / "t.tar")).members] == ["other"] * 5


def test_a_member_without_a_name_is_no_image_and_hides_no_other(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"nameless")
        archive.writestr("a.jpg", JPEG)
    assert [m.kind for m in index(the_only_source(tmp_path / "z.zip")).members] == [
        "other",
        "image",
    ]


def test_a_link_in_a_zip_is_no_image(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert [m.kind for m in index(the_only_source(tmp_path / "z.zip")).members] == ["other"]


def test_links_and_pipes_in_a_folder_are_unsafe_and_stay_closed(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (box / "a.jpg").write_bytes(JPEG)
    (box / "link.jpg").symlink_to("../secret.jpg")
    (box / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(box / "pipe.jpg")
    members = index(the_only_source(box)).members
    assert [(m.name, m.kind) for m in members] == [
        ("a.jpg", "image"),
        ("link.jpg", "unsafe"),
        ("passwd", "unsafe"),
        ("pipe.jpg", "unsafe"),
    ]


def test_a_bucket_key_with_dots_or_empty_folders_is_unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    from tests.s3_server import serve_moto

    with serve_moto() as endpoint:
        for name, value in s3_variables(endpoint, "a-key", "a-secret").items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="odd")
        keys = [
            "a/../../x.jpg",
            "a//y.jpg",
            "a/./z.jpg",
            "a/ok.jpg",
            "a/b/deep.jpg",
            "a/?versionId=3.jpg",
            "a/dir/",
        ]
        for key in keys:
            client.put_object(Bucket="odd", Key=key, Body=b"" if key.endswith("/") else JPEG)
        a, b = discover("s3://odd")
        assert (a.path, b.path) == ("a", "a/b")
        assert [(m.name, m.kind) for m in index(a).members] == [
            ("../../x.jpg", "unsafe"),
            ("./z.jpg", "unsafe"),
            ("/y.jpg", "unsafe"),
            ("?versionId=3.jpg", "image"),
            ("ok.jpg", "image"),
        ]
        assert all_payloads(a) == [("?versionId=3.jpg", JPEG), ("ok.jpg", JPEG)]


# Damaged and hostile archives


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


@pytest.mark.parametrize("data", [b"", b"nonsense", zip_of(BOX)[:-30], zip_of(BOX)[:200]])
def test_a_zip_without_directory_is_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "z.zip").write_bytes(data)
    with pytest.raises(DamagedArchiveError, match=r"z\.zip is damaged"):
        index(the_only_source(tmp_path / "z.zip"))


def reasons(path: Path) -> list[str | int]:
    return [
        p.reason if isinstance(p, ImageError) else len(p)
        for _, p in all_payloads(the_only_source(path))
    ]


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


def test_uncommon_and_encrypted_members_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_bytes(zip_of([("a.jpg", JPEG)], zipfile.ZIP_BZIP2))
    assert reasons(tmp_path / "z.zip") == ["unreadable"]
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
    assert reasons(tmp_path / "z.zip") == ["too_large"]


def test_a_bomb_that_declares_itself_is_left_packed(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_bytes(zip_of([("a.bmp", bytes(70_000_000)), ("b.png", PNG)]))
    assert reasons(tmp_path / "z.zip") == ["compression_bomb", len(PNG)]


def test_a_compressed_tar_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.tar.gz"
    path.write_bytes(gzip.compress(tar_of([("a.png", PNG), ("b.bin", bytes(30_000_000))])))
    assert len(index(the_only_source(path)).members) == 2
    monkeypatch.setattr("pipelines.sources.formats.gzip_stream.BOMB_STREAM", 1 << 20)
    with pytest.raises(DamagedArchiveError, match="unpacks to more than 200 times its size"):
        index(the_only_source(path))


def test_a_zip_that_says_it_is_empty_and_is_not_is_damaged(tmp_path: Path) -> None:
    """Such as one whose comment holds what looks like the end of an empty archive."""
    (tmp_path / "z.zip").write_bytes(zip_of([("a.png", PNG)]) + b"PK\5\6" + bytes(18))
    with pytest.raises(DamagedArchiveError, match="its directory is empty"):
        index(the_only_source(tmp_path / "z.zip"))
    (tmp_path / "z.zip").write_bytes(zip_of([]))
    assert index(the_only_source(tmp_path / "z.zip")).members == ()


@pytest.mark.parametrize("said", [1 << 32, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("field", [0, 1, 2], ids=["size", "packed size", "place"])
def test_numbers_that_cannot_be_make_a_member_unreadable_and_no_more(
    tmp_path: Path, said: int, field: int
) -> None:
    """A zip64 directory may say anything up to 2**64, and neither a read nor the manifest may
    stumble over it.
    """
    data = bytearray(zip_of([("a.png", PNG), ("b.png", PNG)], zipfile.ZIP_STORED))
    directory = data.index(b"PK\1\2")
    for place, kind in ((20, "<I"), (24, "<I"), (42, "<I")):
        struct.pack_into(kind, data, directory + place, 0xFFFFFFFF)
    struct.pack_into("<H", data, directory + 30, 28)
    numbers = [len(PNG), len(PNG), 0]
    numbers[field] = said
    extra = struct.pack("<2H3Q", 1, 24, *numbers)
    name_end = directory + 46 + len("a.png")
    data[name_end:name_end] = extra
    end = data.index(b"PK\5\6")
    struct.pack_into("<I", data, end + 12, struct.unpack_from("<I", data, end + 12)[0] + len(extra))
    path = tmp_path / "box" / "z.zip"
    path.parent.mkdir()
    path.write_bytes(data)
    plan = make_plan(str(path.parent), str(tmp_path / "out"), "fingerprint")
    assert plan.images == 2
    first, second = reasons(path)
    assert first in ("unreadable", "too_large", "compression_bomb") and second == len(PNG)


# Versions


@pytest.mark.parametrize("name", ["t.tar", "t.tar.gz", "t.zip", "t.jpg"])
def test_a_source_that_changed_is_refused(tmp_path: Path, name: str) -> None:
    make = {
        "t.tar": tar_of,
        "t.tar.gz": lambda c: gzip.compress(tar_of(c)),
        "t.zip": zip_of,
        "t.jpg": lambda c: c[0][1],
    }
    path = tmp_path / name
    path.write_bytes(make[name](BOX))
    source = the_only_source(path)
    members = index(source).members
    path.write_bytes(make[name]([("a/2.jpg", PNG)]))
    with pytest.raises(SourceChangedError, match=r"t\.(tar|tar\.gz|zip|jpg)"):
        list(read_members(source, members))
    with pytest.raises(SourceChangedError):
        index(source)


def test_a_file_added_to_a_folder_changes_the_folder_but_not_its_members(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    source = the_only_source(tmp_path)
    members = index(source).members
    (tmp_path / "b.jpg").write_bytes(JPEG)
    with pytest.raises(SourceChangedError):
        index(source)
    assert [payload for _, payload in read_members(source, members)] == [JPEG]


# Costs


def test_megapixels_are_estimated_from_a_few_headers(tmp_path: Path) -> None:
    content = [(f"{i}.jpg", picture(100 + i, 200)) for i in range(100)]
    (tmp_path / "t.tar").write_bytes(tar_of(content))
    (tmp_path / "t.tgz").write_bytes(gzip.compress(tar_of(content), 1))
    for source in discover(str(tmp_path)):
        for member in index(source).members:
            assert member.megapixels == pytest.approx((100 + member.position) * 200 / 1e6, rel=0.1)


def test_the_index_of_a_remote_tar_leaves_the_payloads_alone(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(3_000_000)
    (bucket / "big.tar").write_bytes(tar_of([(f"{i}.bin", data) for i in range(10)]))
    opened: list[RangeFile] = []
    original = RangeFile.__init__

    def remember(self: RangeFile, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        opened.append(self)

    monkeypatch.setattr(RangeFile, "__init__", remember)
    (source,) = discover("s3://box/big.tar")
    assert len(index(source).members) == 10
    assert sum(file.bytes_read for file in opened) < 1_000_000 < source.size
    assert sum(file.requests for file in opened) < 30


@given(
    spans=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 100)), max_size=30),
    gap=st.integers(0, 50),
    limit=st.integers(1, 200),
)
def test_coalesced_reads_hold_every_span_once_in_order(
    spans: list[tuple[int, int]], gap: int, limit: int
) -> None:
    groups = list(coalesce(spans, gap, limit))
    assert [i for group in groups for i in group] == list(range(len(spans)))
    for group in groups:
        offsets = [spans[i][0] for i in group]
        assert offsets == sorted(offsets)
        if len(group) > 1:
            assert max(spans[i][0] + spans[i][1] for i in group) - offsets[0] <= limit
        for before, after in zip(group, group[1:], strict=False):
            assert spans[after][0] - (spans[before][0] + spans[before][1]) <= gap


@given(order=st.permutations(range(6)), method=st.sampled_from(["tar", "zip"]))
def test_members_are_read_in_the_order_asked_for(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], method: str
) -> None:
    content = [(f"{i}.png", bytes([i]) * (100 * i)) for i in range(6)]
    folder = tmp_path_factory.mktemp("order")
    (folder / f"x.{method}").write_bytes({"tar": tar_of, "zip": zip_of}[method](content))
    source = the_only_source(folder)
    members = index(source).members
    got = list(read_members(source, [members[i] for i in order]))
    assert [(member.name, payload) for member, payload in got] == [content[i] for i in order]


def test_a_mutated_archive_is_indexed_or_damaged_but_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for make, name in (
        (tar_of, "m.tar"),
        (zip_of, "m.zip"),
        (lambda c: gzip.compress(tar_of(c), mtime=0), "m.tgz"),
    ):
        for _ in range(150):
            data = bytearray(make(BOX))
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.integers(0, 256)
            data = data[: rng.integers(1, len(data))] if rng.random() < 0.3 else data
            (tmp_path / name).write_bytes(data)
            try:
                all_payloads(the_only_source(tmp_path / name))
            except DamagedArchiveError as error:
                assert name in str(error)
