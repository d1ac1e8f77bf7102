"""The report: figures that add up, a count that is proved, and names that stay names."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demoire.errors import StorageError, UnusablePlaceError, UsageError
from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope
from pipelines.plan.plan import make_plan
from pipelines.report.build import build_report
from pipelines.sources.discover import discover
from pipelines.storage.local import LocalPlace
from pipelines.storage.place import Entry
from tests.pipelines.report.conftest import (
    HOSTILE,
    cleaned,
    publish,
    publish_previews,
    quarantined,
    row,
    stripes,
)


def summary_of(dst: Path) -> dict:
    build_report(str(dst))
    return json.loads((dst / "_demoire/page/summary.json").read_text())


def test_the_summary_adds_up_what_the_tables_say(dst: Path) -> None:
    summary = summary_of(dst)

    assert (summary["images"], summary["archives"]) == (45, 2)
    assert (summary["cleaned"], summary["copied"], summary["quarantined"]) == (3, 40, 2)
    assert summary["megapixels"] == pytest.approx(43 * 3.0)  # the two unreadable ones have no size
    assert summary["bytes_in"] - summary["bytes_out"] == 3 * 200_000
    assert summary["moire_kinds"] == {"screen": 2, "halftone": 1}
    assert summary["quarantine"] == {"truncated": 1, "not_an_image": 1}
    assert summary["moire_before"] == pytest.approx((0.9 + 0.91 + 0.97) / 3)
    assert summary["psnr_vs_input"] == pytest.approx((27.5 + 27.5 + 22.5) / 3)
    assert summary["stage_seconds"]["restore"] == pytest.approx(1.8)
    assert summary["run_ids"] == ["20260301-220000-5f0c"]
    assert summary["last_finished_at"] == "2026-03-01T22:39:00+00:00"


def test_the_histogram_has_every_judged_image_once(dst: Path) -> None:
    histogram = summary_of(dst)["histogram"]
    assert len(histogram["edges"]) == 21
    assert sum(histogram["all_before"]) == 43
    assert histogram["cleaned_before"][-2:] == [2, 1]
    assert histogram["cleaned_after"][0] == 3


def test_the_page_is_where_it_says_and_building_it_again_changes_nothing(dst: Path) -> None:
    page = Path(build_report(str(dst)))
    assert page == dst / "_demoire/page/index.html"
    first = page.read_bytes()
    build_report(str(dst))
    assert page.read_bytes() == first


def test_the_page_shows_the_most_changed_image_first(dst: Path) -> None:
    page = Path(build_report(str(dst))).read_text()
    assert page.count("data:image/jpeg;base64,") == 6
    names = ("print.tif", "scan-0.jpg", "scan-1.jpg")
    positions = [page.index(f'alt="{name}, before"') for name in names]
    assert positions == sorted(positions)


def test_of_many_previews_the_twenty_most_changed_are_shown(dst: Path) -> None:
    publish_previews(dst, "aaaa", [("box-1.tar", f"many-{n}.jpg", 20 + n) for n in range(25)])
    page = Path(build_report(str(dst))).read_text()
    assert page.count("<figure") == 20
    assert "many-18.jpg" in page
    assert 'alt="many-19.jpg' not in page  # print.tif, with 22.5 dB, takes its place


def test_quarantine_is_listed_by_reason_with_names(dst: Path) -> None:
    page = Path(build_report(str(dst))).read_text()
    assert "cut.jpg" in page and "note.jpg" in page
    assert "the file ends before its picture does" in page
    assert "What to do: fetch it again." in page


def test_what_was_copied_for_a_reason_is_counted_with_the_way_out(dst: Path) -> None:
    faxes = [row("fax.tar", f"{n}.tif", reason="bilevel", moire_before=None) for n in range(3)]
    publish(dst, "cccc", faxes)
    section = Path(build_report(str(dst))).read_text().partition("Copied for a reason")[2]
    assert section.index("3 images: its pixels are black or white") < section.index("What to do")
    assert "<code>--bilevel grey</code> puts a grey picture beside it" in section


def test_nothing_copied_for_a_reason_leaves_no_empty_section(dst: Path) -> None:
    assert "Copied for a reason" not in Path(build_report(str(dst))).read_text()


def test_a_page_of_a_file_is_named_once_by_its_number(dst: Path) -> None:
    scan = replace(quarantined("scans", "scan.pdf!/page-0003"), page=3)
    publish(dst, "cccc", [scan])
    page = Path(build_report(str(dst))).read_text()
    assert '<span class="name">scan.pdf!/page-0003</span> <span class="soft">in scans' in page


def test_a_full_quarantine_does_not_make_an_endless_page(dst: Path) -> None:
    publish(dst, "cccc", [quarantined("wet.tar", f"lost-{n:04}.jpg") for n in range(5000)])
    page = Path(build_report(str(dst))).read_text()
    assert page.count("lost-") == 99  # with cut.jpg a hundred of that reason
    assert "And 4\u202f901 more" in page


def test_of_much_that_is_withheld_every_reason_is_counted(dst: Path) -> None:
    links = [row("wet", f"link-{n:04}", "withheld", reason="link_outside") for n in range(600)]
    publish(dst, "cccc", [*links, row("wet", "sound", "withheld", reason="special_file")])
    section = Path(build_report(str(dst))).read_text().partition("<h2>Withheld</h2>")[2]
    assert section.index("<b>link_outside</b>") < section.index("<b>special_file</b>")
    assert '<span class="soft">600' in section and "And 500 more" in section
    assert section.count("link-0") == 100


def test_what_earlier_runs_left_makes_up_the_difference_to_the_plan(
    planned: tuple[Path, str],
) -> None:
    dst, source_id = planned
    publish(dst, source_id, [row("src", name) for name in ("a.png", "b.png", "c.png")])
    publish(dst, "cccc", [row("gone", "a.png"), row("gone", "b", "withheld", reason="other")])
    page = Path(build_report(str(dst))).read_text()
    assert "3 planned = 0 cleaned + 4 copied + 0 quarantined + 1 withheld, over 2 from" in page


def test_a_known_truth_is_shown_where_there_is_one(dst: Path) -> None:
    assert "against the known truth" not in Path(build_report(str(dst))).read_text()
    known = cleaned("box-2.tar", "print.tif", psnr_vs_reference=31.25, ssim_vs_reference=0.95)
    publish(dst, "bbbb", [known])
    page = Path(build_report(str(dst))).read_text()
    assert "PSNR 31.2 dB" in page.partition("against the known truth")[2]


def test_without_anything_published_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no report yet"):
        build_report(str(tmp_path))


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A planned folder of three images; DST and its source's id."""
    src, dst = tmp_path / "src", tmp_path / "dst"
    src.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (src / name).write_bytes(stripes(0, 0, side=64))
    make_plan(Destination.at(str(dst)), PlanScope(str(src), "cd" * 32))
    yield dst, discover(str(src))[0].id


def test_the_count_is_proved_against_the_plan(planned: tuple[Path, str]) -> None:
    dst, source_id = planned
    publish(
        dst, source_id, [row("src", "a.png"), cleaned("src", "b.png"), quarantined("src", "c.png")]
    )
    summary = summary_of(dst)
    assert (summary["planned"], summary["proved"]) == (3, True)
    page = (dst / "_demoire/page/index.html").read_text()
    assert "Nothing was lost." in page
    assert "3 planned = 1 cleaned + 1 copied + 1 quarantined" in page


def test_a_missing_image_is_said_aloud(planned: tuple[Path, str]) -> None:
    dst, source_id = planned
    publish(dst, source_id, [row("src", "a.png"), cleaned("src", "b.png")])
    assert summary_of(dst)["proved"] is False
    page = (dst / "_demoire/page/index.html").read_text()
    assert "The count does not come out." in page
    assert "3 planned ≠ 1 cleaned + 1 copied + 0 quarantined" in page


def test_a_planned_source_that_is_not_published_yet_counts_as_missing(
    planned: tuple[Path, str],
) -> None:
    dst, _ = planned
    summary = summary_of(dst)
    assert (summary["planned"], summary["images"], summary["proved"]) == (3, 0, False)


class Refusing(LocalPlace):
    """A folder whose plan cannot be looked at, as a store refuses it to the wrong key."""

    def stat(self, path: str) -> Entry | None:
        if path.startswith("_demoire/manifest"):
            raise UnusablePlaceError(f"{path} cannot be read (access denied).")
        return super().stat(path)


def test_a_store_that_refuses_is_not_taken_for_the_lack_of_a_plan(dst: Path) -> None:
    """The page would say that there is nothing to prove the count against."""
    with pytest.raises(StorageError, match="access denied"):
        Destination(Refusing(str(dst))).manifests.find_latest()


def test_without_a_plan_nothing_is_proved_nor_refuted(dst: Path) -> None:
    assert summary_of(dst)["proved"] is None
    page = (dst / "_demoire/page/index.html").read_text()
    assert "There is no plan here to prove that against." in page


def test_names_from_strangers_are_text(dst: Path) -> None:
    publish(dst, "cccc", [quarantined(f"{name}.tar", name) for name in HOSTILE])
    publish_previews(dst, "cccc", [(HOSTILE[0], HOSTILE[0], 10.0)])
    page = Path(build_report(str(dst))).read_text()
    assert "<script" not in page and "<img src=x" not in page and "<svg onload" not in page
    assert "{{ 7 * 7 }}" in page
    assert "\u202e" not in page and "\x1b" not in page


def test_a_name_that_is_not_utf8_is_shown_with_its_bytes(
    planned: tuple[Path, str], tmp_path: Path
) -> None:
    """Where nothing is published yet the source's own path, with its surrogate escapes, is what the
    page shows.
    """
    src, dst = tmp_path / "latin", tmp_path / "latin-out"
    (src / b"caf\xe9".decode("utf-8", "surrogateescape")).mkdir(parents=True)
    (src / b"caf\xe9".decode("utf-8", "surrogateescape") / "a.png").write_bytes(
        stripes(0, 0, side=64)
    )
    make_plan(Destination.at(str(dst)), PlanScope(str(src), "cd" * 32))
    page = Path(build_report(str(dst))).read_text()
    assert "caf\\udce9" in page
