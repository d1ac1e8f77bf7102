"""Reading members: in any order, of the planned version only, by few requests."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demoire import file_bytes
from demoire.errors import SourceChangedError
from demoire.file_bytes import MappedFile
from pipelines.sources.coalesce import coalesce
from pipelines.sources.discover import discover
from pipelines.sources.formats import folder
from pipelines.sources.index import index
from pipelines.sources.members import DamagedArchiveError
from pipelines.sources.read import read_members
from pipelines.storage import place
from pipelines.storage.range_file import RangeFile
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


@pytest.mark.parametrize(
    "name", ["t.tar", "t.tar.gz", "stored.zip", "packed.zip", "a.tif", "inner.zip"]
)
def test_large_members_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in (file_bytes, place, folder):
        monkeypatch.setattr(module, "LARGE_BYTES", 100_000)
    large = os.urandom(300_000)
    content = [("a.tif", large), ("b.jpg", JPEG), ("c.tif", large[:100_000])]
    if name == "a.tif":
        for member, data in content:
            (tmp_path / member).write_bytes(data)
        source = the_only_source(tmp_path)
    else:
        make = {
            "t.tar": tar_of(content),
            "t.tar.gz": gzip.compress(tar_of(content)),
            "stored.zip": zip_of(content, zipfile.ZIP_STORED),
            "packed.zip": zip_of(content),
            "inner.zip": zip_of([("in.tar", tar_of(content))], zipfile.ZIP_STORED),
        }
        (tmp_path / name).write_bytes(make[name])
        source = the_only_source(tmp_path / name)
    payloads = [payload for _, payload in all_payloads(source)]
    assert [bytes(payload) for payload in payloads] == [data for _, data in content]
    mapped = [isinstance(payload, MappedFile) for payload in payloads]
    assert mapped == [True, False, True]


def test_a_large_file_that_grew_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (file_bytes, place, folder):
        monkeypatch.setattr(module, "LARGE_BYTES", 1000)
    path = tmp_path / "a.tif"
    path.write_bytes(os.urandom(3000))
    source = the_only_source(tmp_path)
    members = index(source).members
    path.write_bytes(os.urandom(4000))
    with pytest.raises(SourceChangedError):
        list(read_members(source, members))


def test_a_file_added_to_a_folder_changes_the_folder_but_not_its_members(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    source = the_only_source(tmp_path)
    members = index(source).members
    (tmp_path / "b.jpg").write_bytes(JPEG)
    with pytest.raises(SourceChangedError):
        index(source)
    assert [payload for _, payload in read_members(source, members)] == [JPEG]


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
            for spoilt in rng.integers(0, len(data), 3):
                data[spoilt] = rng.integers(0, 256)
            data = data[: rng.integers(1, len(data))] if rng.random() < 0.3 else data
            (tmp_path / name).write_bytes(data)
            try:
                all_payloads(the_only_source(tmp_path / name))
            except DamagedArchiveError as error:
                assert name in str(error)
