"""A destination that this program did not make: what lies there is never overwritten."""

from pathlib import Path

import pytest

from demoire.errors import UsageError
from flows.cli import main
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan, PlanScope
from pipelines.plan.plan import make_plan
from tests.pipelines.conftest import draw, tree, write_tar

SCOPE = "config"


def folder_of_pictures(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(draw(False, number))
    return folder


def plan_into(src: Path, dst: Path, *, merge: bool = False) -> Plan:
    return make_plan(Destination.at(str(dst)), PlanScope(str(src), SCOPE), merge=merge)


def test_the_shells_two_folders_do_not_become_source_and_destination(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = folder_of_pictures(tmp_path / "boxes" / "a", "one.jpg")
    second = folder_of_pictures(tmp_path / "boxes" / "b", "one.jpg", "two.jpg")
    before = tree(second)

    assert main(["clean", str(first), str(second)]) == 2

    assert tree(second) == before
    said = capsys.readouterr().err
    assert "is not empty" in said
    assert "--merge" in said
    assert "quoted glob" in said


def test_an_empty_destination_and_one_of_an_earlier_run_are_free(tmp_path: Path) -> None:
    src = folder_of_pictures(tmp_path / "src", "one.jpg")
    (tmp_path / "dst").mkdir()
    first = plan_into(src, tmp_path / "dst")
    (tmp_path / "dst" / "one.jpg").write_bytes(b"the mirror that a killed run had written")
    assert plan_into(src, tmp_path / "dst") == first


def test_merging_goes_beside_what_is_there(tmp_path: Path) -> None:
    src = folder_of_pictures(tmp_path / "src", "one.jpg")
    write_tar(src / "box.tar", {"1.jpg": draw(False, 1)})
    dst = tmp_path / "dst"
    (dst / "letters").mkdir(parents=True)
    (dst / "letters" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty .it holds letters/mine.txt."):
        plan_into(src, dst)
    assert plan_into(src, dst, merge=True).images == 2


@pytest.mark.parametrize("mine", ["box.tar", "anything.jpg"])
def test_not_even_merging_replaces_a_file(tmp_path: Path, mine: str) -> None:
    src = folder_of_pictures(tmp_path / "src", "one.jpg")
    write_tar(src / "box.tar", {"1.jpg": draw(False, 1)})
    dst = tmp_path / "dst"
    dst.mkdir()
    (dst / mine).write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"{mine} lies where the mirror of .* would go"):
        plan_into(src, dst, merge=True)
    assert (dst / mine).read_bytes() == b"mine"


def test_a_mirror_of_another_src_is_called_that(tmp_path: Path) -> None:
    first = folder_of_pictures(tmp_path / "first", "one.jpg")
    second = folder_of_pictures(tmp_path / "second", "two.jpg")
    dst = tmp_path / "dst"
    plan_into(first, dst)
    (dst / "one.jpg").write_bytes(b"the mirror of the first")

    with pytest.raises(UsageError, match=f"DST was made from {first}: choose another DST"):
        plan_into(second, dst)


def test_a_second_source_of_the_same_name_does_not_replace_the_first_ones_mirror(
    tmp_path: Path,
) -> None:
    dst = tmp_path / "dst"
    for number, name in enumerate(["1931", "1932"]):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "box.tar", {f"{name}.jpg": draw(False, number)})
    plan_into(tmp_path / "1931" / "box.tar", dst)
    (dst / "box.tar").write_bytes(b"the mirror of 1931")

    with pytest.raises(UsageError, match=r"box\.tar lies where the mirror of box\.tar would go"):
        plan_into(tmp_path / "1932" / "box.tar", dst)

    plan_into(tmp_path / "1931" / "box.tar", dst)


def test_going_back_to_an_earlier_source_is_no_conflict(tmp_path: Path) -> None:
    dst = tmp_path / "dst"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / f"{name}.tar", {"1.jpg": draw(False, 1)})
        plan_into(tmp_path / name / f"{name}.tar", dst)
        (dst / f"{name}.tar").write_bytes(b"its mirror")
    plan_into(tmp_path / "first" / "first.tar", dst)
