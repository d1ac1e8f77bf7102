"""What a member is by its name and its type: an image, something else, or unsafe."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipelines.sources.discover import discover
from pipelines.sources.index import index
from tests.pipelines.sources.archives import (
    JPEG,
    PNG,
    all_payloads,
    tar_of,
    the_only_source,
    zip_of,
)
from tests.s3_server import s3_variables, serve_moto


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


def test_links_and_pipes_in_a_folder_are_listed_and_stay_closed(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (box / "a.jpg").write_bytes(JPEG)
    (box / "link.jpg").symlink_to("../secret.jpg")
    (box / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(box / "pipe.jpg")
    members = index(the_only_source(box)).members
    assert [(m.name, m.kind, m.target, m.reason) for m in members] == [
        ("a.jpg", "image", "", ""),
        ("link.jpg", "link", "../secret.jpg", ""),
        ("passwd", "link", os.path.relpath("/etc/passwd", box), ""),
        ("pipe.jpg", "withheld", "", "special_file"),
    ]


def test_a_bucket_key_with_dots_or_empty_folders_is_unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

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
        a, b, marker = discover("s3://odd")
        assert (a.path, b.path, marker.path) == ("a", "a/b", "a/dir")
        assert [(m.name, m.kind) for m in index(marker).members] == [("", "marker")]
        assert [(m.name, m.kind) for m in index(a).members] == [
            ("../../x.jpg", "withheld"),
            ("./z.jpg", "withheld"),
            ("/y.jpg", "withheld"),
            ("?versionId=3.jpg", "image"),
            ("ok.jpg", "image"),
        ]
        assert all_payloads(a) == [("?versionId=3.jpg", JPEG), ("ok.jpg", JPEG)]
