"""What is listed under a folder, a bucket, a glob or one name."""

import gzip
from pathlib import Path

import pytest

from demoire.errors import UsageError
from pipelines.sources.discover import discover
from pipelines.sources.formats.folder import folder_of
from pipelines.sources.index import index
from tests.pipelines.sources.archives import (
    BOX,
    JPEG,
    PNG,
    all_payloads,
    picture,
    tar_of,
    the_only_source,
    zip_of,
)


def collection(folder: Path) -> None:
    """Two tars, a zip, loose files, and a hidden folder."""
    for path, data in {
        "top.jpg": JPEG,
        "notes.txt": b"notes",
        "old.TAR": tar_of(BOX),
        "box/new.tar.gz": gzip.compress(tar_of(BOX)),
        "box/all.zip": zip_of(BOX),
        "box/loose/b.jpg": JPEG,
        "box/loose/a.bmp": picture(5, 5, "BMP"),
        ".hidden/x.jpg": JPEG,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def sources_of(src: str) -> list[tuple[str, str]]:
    return [(source.path, source.kind) for source in discover(src)]


WHOLE_COLLECTION = [
    ("", "folder"),
    (".hidden", "folder"),
    ("box/all.zip", "zip"),
    ("box/loose", "folder"),
    ("box/new.tar.gz", "tar.gz"),
    ("old.TAR", "tar"),
]


def test_a_folder_holds_archives_and_folders_of_loose_files(tmp_path: Path) -> None:
    collection(tmp_path)
    assert sources_of(str(tmp_path)) == WHOLE_COLLECTION
    assert sources_of(f"file://{tmp_path}") == WHOLE_COLLECTION


def test_a_bucket_looks_the_same(bucket: Path) -> None:
    collection(bucket / "looks")
    assert sources_of("s3://box/looks") == WHOLE_COLLECTION
    assert sources_of("s3://box/looks/box/*.zip") == [("all.zip", "zip")]
    assert sources_of("s3://box/looks/old.TAR") == [("old.TAR", "tar")]


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
    top, _, loose = (source for source in discover(str(tmp_path)) if source.kind == "folder")
    assert [(m.name, m.kind) for m in index(top).members] == [
        ("notes.txt", "other"),
        ("top.jpg", "image"),
    ]
    assert [name for name, _ in all_payloads(loose)] == ["a.bmp", "b.jpg"]
    folder, pattern = folder_of(loose)
    assert (folder.uri, pattern) == (str(tmp_path / "box" / "loose"), "")


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
    assert sources_of(f"{tmp_path}/{pattern}") == expected


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
