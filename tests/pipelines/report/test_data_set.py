"""DST/_demoire/report is a data set that readers of Parquet open as it is, also after 0.1."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from pipelines.publish.previews import read_previews, write_previews
from pipelines.records import Source
from pipelines.report.build import build_report
from pipelines.storage.local import LocalPlace
from pipelines.storage.place import Entry
from tests.pipelines.report.conftest import publish_previews

IMAGES = 45  # rows of the two archives of `dst`


def with_pandas(folder: str) -> int:
    return len(pandas.read_parquet(folder))


def with_pyarrow(folder: str) -> int:
    return pyarrow.dataset.dataset(folder).count_rows()


def with_duckdb(folder: str) -> int:
    duckdb = pytest.importorskip("duckdb")
    return len(duckdb.sql(f"SELECT image_id FROM read_parquet('{folder}')").fetchall())


def with_polars(folder: str) -> int:
    polars = pytest.importorskip("polars")
    return len(polars.read_parquet(folder))


READERS = [with_pandas, with_pyarrow, with_duckdb, with_polars]


def publish_as_before(dst: Path) -> None:
    """Bring the page, summary and previews to where version 0.1 left them."""
    build_report(str(dst))
    (dst / "_demoire/page/index.html").rename(dst / "_demoire/report/index.html")
    (dst / "_demoire/page/summary.json").rename(dst / "_demoire/report/summary.json")
    (dst / "_demoire/page/previews").rename(dst / "_demoire/report/previews")
    (dst / "_demoire/page").rmdir()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("count", READERS)
def test_the_folder_opens_as_it_is(dst: Path, count: Callable[[str], int]) -> None:
    build_report(str(dst))
    assert count(str(dst / "_demoire/report")) == IMAGES


@pytest.mark.parametrize("count", READERS)
def test_the_folder_of_an_earlier_version_opens_once_the_page_is_built_again(
    dst: Path, count: Callable[[str], int]
) -> None:
    publish_as_before(dst)
    build_report(str(dst))
    assert count(str(dst / "_demoire/report")) == IMAGES


def test_what_an_earlier_version_left_is_moved_and_shown_as_before(dst: Path) -> None:
    page = Path(build_report(str(dst))).read_bytes()
    previews = (dst / "_demoire/page/previews/aaaa.parquet").read_bytes()
    publish_as_before(dst)

    again = Path(build_report(str(dst)))

    assert again.read_bytes() == page
    assert page.count(b"data:image/jpeg;base64,") == 6
    assert (dst / "_demoire/page/previews/aaaa.parquet").read_bytes() == previews
    assert files(dst / "_demoire/report") == ["aaaa.parquet", "bbbb.parquet"]
    assert files(dst / "_demoire/page") == [
        "index.html",
        "previews/aaaa.parquet",
        "previews/bbbb.parquet",
        "summary.json",
    ]


def test_previews_of_this_version_stay_where_there_are_earlier_ones(dst: Path) -> None:
    publish_as_before(dst)
    publish_previews(dst, "aaaa", [("box-1.tar", "newer.jpg", 10.0)])

    page = Path(build_report(str(dst))).read_text()

    assert 'alt="newer.jpg, before"' in page
    assert 'alt="scan-0.jpg, before"' not in page
    assert not (dst / "_demoire/report/previews/aaaa.parquet").exists()


class Overtaken(LocalPlace):
    """A folder in which another process moves each table of previews after it was listed."""

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        for entry in list(super().list(path, recursive=recursive)):
            if path == "_demoire/report/previews":
                content = self.read(entry.path)
                self.write(f"_demoire/page/previews/{entry.name}", content)
                self.delete(entry.path)
            yield entry


def test_two_builders_may_move_the_same_previews(
    dst: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_as_before(dst)
    monkeypatch.setattr("pipelines.report.build.open_place", Overtaken)

    page = Path(build_report(str(dst))).read_text()

    assert page.count("data:image/jpeg;base64,") == 6


BOX = Source("/archive/box-1.tar", "box-1.tar", "tar", "1-1", 1)


def test_a_retry_goes_on_from_the_previews_of_an_earlier_version(dst: Path) -> None:
    publish_previews(dst, BOX.id, [("box-1.tar", "folded.jpg", 15.0)])
    publish_as_before(dst)
    place = LocalPlace(str(dst))

    previews = read_previews(place, BOX.id)
    write_previews(place, BOX.id, previews)

    assert [preview.member for preview in previews] == ["folded.jpg"]
    assert pq.read_table(dst / f"_demoire/page/previews/{BOX.id}.parquet").num_rows == 1


def test_a_source_whose_images_no_longer_change_loses_its_earlier_previews(dst: Path) -> None:
    publish_previews(dst, BOX.id, [("box-1.tar", "folded.jpg", 15.0)])
    publish_as_before(dst)

    write_previews(LocalPlace(str(dst)), BOX.id, [])

    assert 'alt="folded.jpg' not in Path(build_report(str(dst))).read_text()
