"""A large file that is away is fetched once for all units of it that a process reads."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from demoire.imaging.pdf.guarded import pdf_readers
from pipelines.sources.discover import discover
from pipelines.sources.formats import kept_copy as kept_copies
from pipelines.sources.formats import tar
from pipelines.sources.formats.kept_copy import KeptCopy
from pipelines.sources.formats.pages import end_idle_readers
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from pipelines.storage.open import open_place
from tests.pipelines.sources.archives import tar_of, the_only_source
from tests.pipelines.sources.formats.paged_files import write_scan

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no open files as paths")


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kept_copies, "_SMALLEST", 1)
    yield
    end_idle_readers()
    pdf_readers.end()


class Fetches:
    """Writes the same bytes, and counts how often."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0

    def __call__(self, copy: BinaryIO) -> None:
        self.count += 1
        copy.write(self.data)


def read_again(kept: KeptCopy, key: tuple[str, ...] | None, fetches: Fetches) -> bytes:
    with kept.opened(key, len(fetches.data), fetches) as copy:
        assert Path(copy.name).read_bytes() == fetches.data
        return copy.read()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@needs_proc
def test_the_same_file_is_fetched_once_and_another_takes_its_place() -> None:
    kept = KeptCopy()
    before = open_files()
    first, second = Fetches(b"first"), Fetches(b"second")
    for _ in range(3):
        assert read_again(kept, ("a", "1"), first) == b"first"
    assert first.count == 1 and open_files() == before + 1
    assert read_again(kept, ("a", "2"), second) == b"second"
    assert open_files() == before + 1, "the first one is let go"
    assert read_again(kept, None, second) == b"second"
    assert second.count == 2, "of an unknown version nothing is kept"
    kept.let_go()
    assert open_files() == before


@needs_proc
def test_a_copy_in_use_is_not_taken_away_and_one_that_fails_is_not_kept() -> None:
    kept = KeptCopy()
    first, second = Fetches(b"first"), Fetches(b"second")
    with kept.opened(("a",), 5, first) as copy:
        assert read_again(kept, ("b",), second) == b"second"
        assert Path(copy.name).read_bytes() == b"first"

    def fail(copy: BinaryIO) -> None:
        copy.write(b"a part")
        raise EOFError

    with pytest.raises(EOFError), kept.opened(("b",), 5, fail):
        pass
    assert read_again(kept, ("b",), second) == b"second"


@needs_proc
def test_units_of_a_pdf_in_an_archive_compressed_or_not_and_in_a_bucket_share_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_scan(tmp_path / "scan.pdf", "yyp")
    packed = tar_of([("scan.pdf", data)])
    for name, content in (("box.tar", packed), ("box.tar.gz", gzip.compress(packed))):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(content)
    open_place("memory://kept").write("scan.pdf", data)
    (bucket,) = discover("memory://kept")
    unpacked = []
    unpack = tar.unpack

    def count(*given: Any) -> None:
        unpacked.append(given)
        unpack(*given)

    monkeypatch.setattr(tar, "unpack", count)
    archives = [the_only_source(tmp_path / name) for name in ("box.tar", "box.tar.gz")]
    read = []
    for source in (*archives, bucket):
        pictures = index(source).images
        unpacked.clear()
        for picture in pictures:
            ((_, content),) = read_members(source, [picture])
            read.append(content)
        assert len(unpacked) <= 1
    assert all(isinstance(content, bytes) for content in read)
    assert read[:3] == read[3:6] == read[6:]
