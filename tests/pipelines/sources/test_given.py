"""Several SRCs: where each of them lies under DST, and which are refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from demoire.errors import UsageError
from pipelines.sources.discover import discover
from pipelines.sources.given import discover_given, src_of
from tests.pipelines.conftest import draw, write_tar


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two years with a loose picture and a box each, and loose maps."""
    for year in ("1931", "1932"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "loose.jpg").write_bytes(draw(False, 1))
        write_tar(tmp_path / year / "box.tar", {"1.jpg": draw(False, 1)})
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "1.jpg").write_bytes(draw(False, 1))
    return tmp_path


def paths(src: Path | str, *also: Path) -> list[str]:
    return [source.path for source in discover_given(str(src), names(also))]


def names(also: Sequence[Path]) -> list[str]:
    return [str(path) for path in also]


def test_one_source_lies_as_it_always_did(data: Path) -> None:
    assert discover_given(str(data / "1931"), ()) == discover(str(data / "1931"))


def test_a_further_folder_lies_under_its_name_and_the_first_where_it_would_alone(
    data: Path,
) -> None:
    alone = discover(str(data / "1931"))
    both = discover_given(str(data / "1931"), names([data / "1932"]))
    assert [source for source in both if source in alone] == alone
    assert [source.path for source in both] == ["", "1932", "1932/box.tar", "box.tar"]
    assert [source.id for source in both if source not in alone] == [
        source.id for source in discover(str(data / "1932"))
    ]


def test_without_a_first_all_lie_under_their_names(data: Path) -> None:
    assert paths("", data / "1931", data / "1932") == [
        *("1931", "1931/box.tar"),
        *("1932", "1932/box.tar"),
    ]


def test_archives_images_and_globs_have_a_place_of_their_own_too(data: Path) -> None:
    assert paths(data / "1931", data / "maps" / "1.jpg") == ["", "box.tar", "maps"]
    assert paths(data / "maps", data / "1932" / "box.tar") == ["", "box.tar"]
    assert paths(data / "maps", data / "1932" / "*.tar") == ["", "1932/box.tar"]


def test_two_that_would_meet_are_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="would both lie at box.tar under DST"):
        paths(data / "1931", data / "1932" / "box.tar")
    (data / "other" / "1931").mkdir(parents=True)
    (data / "other" / "1931" / "a.jpg").write_bytes(draw(False, 1))
    with pytest.raises(UsageError, match="would both lie at 1931 under DST"):
        paths("", data / "1931", data / "other" / "1931")


def test_what_is_given_twice_is_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="is given twice"):
        paths(data / "1931", data / "1931" / "*.tar")


def test_a_further_one_that_is_empty_is_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="nothing-here is empty or does not exist"):
        paths(data / "1931", data / "nothing-here")


def test_each_source_knows_by_which_it_was_taken_in(data: Path) -> None:
    given = names([data / "1931", data / "1932" / "*.tar"])
    by_path = {source.path: src_of(source, given) for source in discover_given(given[0], given[1:])}
    assert by_path == {"": given[0], "box.tar": given[0], "1932/box.tar": given[1]}
