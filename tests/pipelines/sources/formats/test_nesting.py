"""Archives inside archives, one level deep: read by range, and spliced inside the outer one."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.errors import ImageError
from pipelines.records import SourceKind
from pipelines.sources.formats import archive_format
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from tests.pipelines.sources.archives import (
    BOX,
    JPEG,
    PNG,
    Content,
    all_payloads,
    tar_of,
    the_only_source,
    zip_of,
)
from tests.pipelines.sources.splicing import Payloads

MAKE: dict[str, Callable[[Content], bytes]] = {
    "tar": tar_of,
    "zip": lambda content: zip_of(content, zipfile.ZIP_STORED),
}
INNER: dict[str, Callable[[Content], bytes]] = {"tar": tar_of, "zip": zip_of}


def members_of(kind: str, data: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each member, in the archive's order."""
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return [(info.filename, archive.read(info)) for info in archive.infolist()]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def rewritten(kind: SourceKind, data: bytes, changes: dict[str, bytes]) -> tuple[bytes, set[str]]:
    """The archive with new payloads by name, and the names that were refused."""
    archive = archive_format(kind)
    listed = {member.name: member for member in archive.list_members(io.BytesIO(data))}
    payloads: Payloads = {listed[name].position: new for name, new in changes.items()}
    out = io.BytesIO()
    members = [listed[name] for name in changes]
    refused = archive.rewrite(io.BytesIO(data), out, members, payloads.__getitem__)
    return out.getvalue(), {member.name for member in listed.values() if member.position in refused}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", MAKE)
def test_the_images_of_an_inner_archive_are_read_and_changed_in_place(
    tmp_path: Path, outer: SourceKind, inner: str
) -> None:
    first = INNER[inner](BOX)
    second = INNER[inner]([("z.jpg", JPEG)])
    content = [("a.jpg", JPEG), (f"b/in.{inner}", first), ("c.txt", b"c"), (f"d.{inner}", second)]
    data = MAKE[outer](content)
    (tmp_path / f"x.{outer}").write_bytes(data)
    assert all_payloads(the_only_source(tmp_path)) == [
        ("a.jpg", JPEG),
        (f"b/in.{inner}!/a/2.jpg", JPEG),
        (f"b/in.{inner}!/a/1.png", PNG),
        (f"b/in.{inner}!/a/empty.jpg", b""),
        (f"d.{inner}!/z.jpg", JPEG),
    ]
    changes = {f"b/in.{inner}!/a/1.png": b"new" * 999, "a.jpg": b"n", f"d.{inner}!/z.jpg": b"z"}
    after, refused = rewritten(outer, data, changes)
    assert not refused
    names = [name for name, _ in content]
    parts = dict(members_of(outer, after))
    assert list(parts) == names
    assert (parts["a.jpg"], parts["c.txt"]) == (b"n", b"c")
    expected = [(name, b"new" * 999 if name == "a/1.png" else old) for name, old in BOX]
    assert members_of(inner, parts[f"b/in.{inner}"]) == expected
    assert members_of(inner, parts[f"d.{inner}"]) == [("z.jpg", b"z")]


@settings(deadline=None, max_examples=40)
@given(
    outer=st.sampled_from(["tar", "zip"]),
    inner=st.sampled_from(["tar", "zip"]),
    payloads=st.lists(st.binary(max_size=1500), min_size=1, max_size=5),
    data=st.data(),
)
def test_any_members_of_any_inner_archive_can_be_changed(
    outer: SourceKind, inner: str, payloads: list[bytes], data: st.DataObject
) -> None:
    content = [(f"{number}.jpg", payload) for number, payload in enumerate(payloads)]
    archive = MAKE[outer]([("0.jpg", b"0"), (f"i.{inner}", INNER[inner](content)), ("z", b"z")])
    names = [f"i.{inner}!/{name}" for name, _ in content]
    new = st.dictionaries(st.sampled_from(["0.jpg", *names]), st.binary(max_size=3000))
    changes = data.draw(new)
    after, refused = rewritten(outer, archive, changes)
    parts = dict(members_of(outer, after))
    expected = [(name, changes.get(f"i.{inner}!/{name}", old)) for name, old in content]
    assert not refused
    assert (parts["0.jpg"], parts["z"]) == (changes.get("0.jpg", b"0"), b"z")
    assert members_of(inner, parts[f"i.{inner}"]) == expected


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", MAKE)
def test_payloads_as_they_were_give_the_same_bytes(outer: SourceKind, inner: str) -> None:
    data = MAKE[outer]([("a.txt", b"a"), (f"i.{inner}", INNER[inner](BOX)), ("z.jpg", PNG)])
    assert rewritten(outer, data, {f"i.{inner}!/a/2.jpg": JPEG, "z.jpg": PNG}) == (data, set())


def test_positions_depend_on_nothing_that_stands_elsewhere(tmp_path: Path) -> None:
    def positions(content: Content) -> dict[str, int]:
        (tmp_path / "x.tar").write_bytes(tar_of(content))
        members = index(the_only_source(tmp_path)).members
        assert len({member.position for member in members}) == len(members)
        return {member.name: member.position for member in members}

    inner = zip_of(BOX)
    few = positions([("a.zip", inner), ("b.zip", inner)])
    more = positions(
        [("a.zip", zip_of([*BOX, ("more.jpg", PNG)])), ("b.zip", inner), ("c.zip", inner)]
    )
    assert few["a.zip"] == 0
    assert few.items() <= more.items()


def test_what_would_have_to_be_unpacked_first_or_is_deeper_is_not_looked_into(
    tmp_path: Path,
) -> None:
    deep = zip_of([("deep.zip", zip_of(BOX)), ("b.jpg", JPEG)], zipfile.ZIP_STORED)
    (tmp_path / "x.zip").write_bytes(zip_of([("packed.zip", zip_of(BOX))]))
    assert index(the_only_source(tmp_path)).images == ()
    (tmp_path / "x.zip").write_bytes(zip_of([("in.zip", deep)], zipfile.ZIP_STORED))
    names = [member.name for member in index(the_only_source(tmp_path)).images]
    assert names == ["in.zip!/b.jpg"]


@pytest.mark.parametrize("name", ["../in.zip", "._in.zip", "__MACOSX/in.zip", "a!/in.zip", "in.zi"])
def test_archives_under_odd_names_are_not_looked_into(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of([(name, zip_of(BOX))]))
    assert index(the_only_source(tmp_path)).images == ()


@pytest.mark.parametrize("outer", MAKE)
def test_a_damaged_inner_archive_is_one_unreadable_image_and_all_others_go_on(
    tmp_path: Path, outer: SourceKind
) -> None:
    whole = zip_of(BOX)
    data = MAKE[outer](
        [("bad.zip", whole[:-30]), ("bad.tar", tar_of(BOX)[:700]), ("good.zip", whole)]
    )
    (tmp_path / f"x.{outer}").write_bytes(data)
    source = the_only_source(tmp_path)
    images = index(source).images
    assert [member.name for member in images[:2]] == ["bad.zip", "bad.tar"]
    payloads = [payload for _, payload in read_members(source, images)]
    assert isinstance(payloads[0], ImageError) and payloads[0].reason == "unreadable"
    assert isinstance(payloads[1], ImageError) and payloads[1].reason == "unreadable"
    assert payloads[2:] == [JPEG, PNG, b""]
    after, refused = rewritten(outer, data, {"good.zip!/a/2.jpg": b"new"})
    assert not refused
    assert members_of(outer, after)[:2] == members_of(outer, data)[:2]
    assert dict(members_of("zip", members_of(outer, after)[2][1]))["a/2.jpg"] == b"new"


def test_an_image_with_an_unsafe_name_inside_is_unsafe(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of([("in.zip", zip_of([("../x.jpg", JPEG)]))]))
    contents = index(the_only_source(tmp_path))
    assert [member.name for member in contents.unsafe] == ["in.zip!/../x.jpg"]


def test_an_inner_archive_that_cannot_be_put_back_refuses_all_its_members() -> None:
    data = bytearray(MAKE["zip"]([("in.zip", zip_of(BOX)), ("b.jpg", JPEG)]))
    data[8] = zipfile.ZIP_DEFLATED  # in the local header; the directory calls it stored
    changes = {"in.zip!/a/2.jpg": b"new", "in.zip!/a/1.png": b"new", "b.jpg": b"new"}
    after, refused = rewritten("zip", bytes(data), changes)
    assert refused == {"in.zip!/a/2.jpg", "in.zip!/a/1.png"}
    with zipfile.ZipFile(io.BytesIO(after)) as archive:
        assert archive.read("b.jpg") == b"new"


def test_an_inner_archive_that_cannot_be_changed_at_all_stays_as_it_is() -> None:
    inner = bytearray(zip_of(BOX))
    end = inner.rindex(b"PK\5\6")
    last = inner.rindex(b"PK\1\2")
    # the length of its comment, beyond the directory's end
    struct.pack_into("<H", inner, last + 32, end - last)
    data = tar_of([("a.jpg", JPEG), ("in.zip", bytes(inner))])
    after, refused = rewritten("tar", data, {"in.zip!/a/1.png": b"new", "a.jpg": b"n"})
    assert refused == {"in.zip!/a/1.png"}
    assert members_of("tar", after) == [("a.jpg", b"n"), ("in.zip", bytes(inner))]
