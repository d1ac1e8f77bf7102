"""The canary: it stops a run that would change too much, and says where to look."""

from dataclasses import replace
from pathlib import Path

import pytest

from demoire.cleaning.config import CleanerConfig
from demoire.errors import CanaryError, UsageError
from pipelines.preview.canary import CanaryLimit, objection_to, run_canary
from pipelines.preview.figures import PreviewFigures, preview_figures
from pipelines.preview.looks import ImageLook, Looks
from pipelines.preview.sample import ArchiveSample
from tests.pipelines.conftest import tree

COMMAND = "demoire clean SRC DST"


def test_below_the_limit_no_page_is_left(
    archive: Path, tiny_config: CleanerConfig, tmp_path: Path
) -> None:
    dst = tmp_path / "dst"
    earlier = dst / "_demoire/page/canary.html"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("a run that was stopped")

    figures = run_canary(
        str(archive), str(dst), tiny_config, 200, CanaryLimit(touched=0.5), command=COMMAND
    )

    assert figures.changed.count == 6
    assert not tree(dst, bookkeeping=True), "the page of an earlier canary is gone"


def test_above_the_limit_the_run_stops_with_the_page(
    archive: Path, tiny_config: CleanerConfig, tmp_path: Path
) -> None:
    dst = tmp_path / "dst"

    with pytest.raises(CanaryError, match=r"6 of 12 images would be changed \(50.0%") as caught:
        run_canary(
            str(archive), str(dst), tiny_config, 200, CanaryLimit(touched=0.49), command=COMMAND
        )

    assert caught.value.exit_code == 3
    assert list(tree(dst, bookkeeping=True)) == ["_demoire/page/canary.html"]
    page = dst / "_demoire/page/canary.html"
    assert str(page) in str(caught.value)
    assert "6 of 12 images would be changed" in page.read_text()
    assert f"{COMMAND}</code>" in page.read_text()


def test_without_the_gate_everything_would_be_changed(
    archive: Path, tiny_config: CleanerConfig, tmp_path: Path
) -> None:
    config = replace(tiny_config, gate="off")

    with pytest.raises(CanaryError, match="11 of 12"):
        run_canary(str(archive), str(tmp_path), config, 200, CanaryLimit(0.9), command=COMMAND)


def figures_of(*outcomes: tuple[str, str | None]) -> PreviewFigures:
    """The figures of a sample whose images came out with these statuses and reasons."""
    looks = []
    for number, (status, reason) in enumerate(outcomes):
        looks.append(ImageLook("box.tar", f"{number}.jpg", status, reason, 0.9, "screen"))
    sample = ArchiveSample((), len(looks), 1, 1, ())
    return preview_figures(sample, Looks(tuple(looks), threshold=0.5, gate="auto"))


def test_images_restored_for_nothing_stop_a_run_by_their_share_of_the_restored() -> None:
    figures = figures_of(
        ("cleaned", None), ("copied", "no_gain"), ("copied", "no_gain"), *[("copied", None)] * 7
    )

    assert objection_to(figures, CanaryLimit(0.5, without_gain=0.7)) == ""
    objection = objection_to(figures, CanaryLimit(0.5, without_gain=0.6))
    assert objection == "2 of 3 restored images are no better (66.7%, limit 60.0%)"


@pytest.mark.parametrize(
    ("text", "limit"),
    [("0.3", CanaryLimit(0.3)), ("0,1", CanaryLimit(0, 1)), ("0.2, .4", CanaryLimit(0.2, 0.4))],
)
def test_a_limit_is_one_share_or_two(text: str, limit: CanaryLimit) -> None:
    assert CanaryLimit.parse(text) == limit


@pytest.mark.parametrize("text", ["", "many", "30 %", "1.5", "-0.1", "nan", "0.1,0.2,0.3"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no limit of a canary"):
        CanaryLimit.parse(text)
