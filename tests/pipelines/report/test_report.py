"""The report: figures that add up, a page that needs nothing from outside, and names that stay
names.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from demoire.errors import ImageError, UsageError
from pipelines.plan.plan import make_plan
from pipelines.records import REPORT_SCHEMA, ReportRow
from pipelines.report.build import build_report
from pipelines.report.previews import preview_pair
from pipelines.sources.discover import discover

START = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\">.jpg",
    "\"><script>document.title='pwned'</script>.jpg",
    "</title></style><svg onload=document.title='pwned'>.png",
    "{{ 7 * 7 }}{% raise %}.jpg",
    "box/\u202egpj.exe\x1b[31m.jpg",
)


def row(source: str, member: str, status: str = "copied", **values: object) -> ReportRow:
    """A row as publishing writes them; what a test is about goes into `values`."""
    facts: dict[str, object] = {
        **{
            "source": source,
            "member": member,
            "page": 0,
            "image_id": f"{source}/{member}",
            "source_kind": "tar",
        },
        **{"width": 2000, "height": 1500, "mode": "RGB", "bits": 8, "dpi": 300.0, "icc": None},
        **{"bytes_in": 900_000, "bytes_out": 900_000, "sha256_in": "00", "sha256_out": "00"},
        **{
            "status": status,
            "reason": None,
            "moire_before": 0.02,
            "moire_after": None,
            "moire_kind": "none",
        },
        **{
            "tiles": 48,
            "tiles_restored": 0,
            "psnr_vs_input": None,
            "ssim_vs_input": None,
            "colour_shift": None,
        },
        **{"psnr_vs_reference": None, "ssim_vs_reference": None},
        **{
            "ms_fetch": 2.0,
            "ms_decode": 40.0,
            "ms_detect": 60.0,
            "ms_restore": 0.0,
            "ms_encode": 0.0,
        },
        **{
            "weights_digest": "ab" * 32,
            "config_fingerprint": "cd" * 32,
            "unit_id": "ef" * 32,
            "attempt": 1,
        },
        **{
            "run_id": "20260301-220000-5f0c",
            "host": "nightshift",
            "device": "cpu",
            "finished_at": START,
        },
    }
    return ReportRow(**{**facts, **values})  # type: ignore[arg-type]


def cleaned(source: str, member: str, before: float = 0.97, **values: object) -> ReportRow:
    changes = {
        "moire_kind": "screen",
        "moire_before": before,
        "moire_after": 0.04,
        "tiles_restored": 40,
    }
    measures = {
        "psnr_vs_input": 27.5,
        "ssim_vs_input": 0.93,
        "colour_shift": 1.1,
        "ms_restore": 600.0,
    }
    return row(
        source,
        member,
        "cleaned",
        **{**changes, **measures, "bytes_out": 700_000, "ms_encode": 90.0, **values},
    )


def quarantined(source: str, member: str, reason: str = "truncated") -> ReportRow:
    return row(
        source, member, "quarantined", reason=reason, width=None, height=None, moire_before=None
    )


def publish(dst: Path, name: str, rows: list[ReportRow]) -> None:
    folder = dst / "_demoire/report"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist([asdict(r) for r in rows], REPORT_SCHEMA), folder / f"{name}.parquet"
    )


def stripes(seed: int, strength: float, side: int = 640) -> bytes:
    """A PNG of soft shapes under diagonal colour stripes of this strength."""
    rng = np.random.default_rng(seed)
    shapes = cv2.resize(
        rng.random((6, 6, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    y, x = np.mgrid[:side, :side].astype(np.float32)
    waves = np.stack(
        [np.sin((x * 0.9 + y * 0.25) * (0.5 + 0.02 * c) + c) for c in range(3)], axis=2
    )
    picture = (shapes * 160 + 40 + strength * waves).clip(0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def publish_previews(dst: Path, name: str, previews: list[tuple[str, str, float]]) -> None:
    """Previews as publishing keeps them: (source, member, PSNR against the input)."""
    folder = dst / "_demoire/report/previews"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (source, member, psnr) in enumerate(previews):
        before, after = preview_pair(stripes(number, 30), stripes(number, 0))
        facts = {"source": source, "member": member, "page": 0, "psnr_vs_input": psnr}
        rows.append({**facts, "before": before, "after": after})
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


@pytest.fixture
def dst(tmp_path: Path) -> Path:
    """Two published archives: 3 cleaned, 40 copied, 2 quarantined."""
    first = [cleaned("box-1.tar", f"scan-{n}.jpg", before=0.9 + n / 100) for n in range(2)]
    first += [
        row("box-1.tar", f"page-{n}.jpg", finished_at=START + timedelta(minutes=n))
        for n in range(40)
    ]
    second = [cleaned("box-2.tar", "print.tif", moire_kind="halftone", psnr_vs_input=22.5)]
    second += [
        quarantined("box-2.tar", "cut.jpg"),
        quarantined("box-2.tar", "note.jpg", "not_an_image"),
    ]
    publish(tmp_path, "aaaa", first)
    publish(tmp_path, "bbbb", second)
    publish_previews(tmp_path, "aaaa", [("box-1.tar", f"scan-{n}.jpg", 27.5 + n) for n in range(2)])
    publish_previews(tmp_path, "bbbb", [("box-2.tar", "print.tif", 22.5)])
    return tmp_path


def summary_of(dst: Path) -> dict:
    build_report(str(dst))
    return json.loads((dst / "_demoire/report/summary.json").read_text())


def test_the_summary_adds_up_what_the_tables_say(dst: Path) -> None:
    summary = summary_of(dst)

    assert {
        key: summary[key] for key in ("images", "cleaned", "copied", "quarantined", "archives")
    } == {
        "images": 45,
        "cleaned": 3,
        "copied": 40,
        "quarantined": 2,
        "archives": 2,
    }
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
    assert page == dst / "_demoire/report/index.html"
    first = page.read_bytes()
    build_report(str(dst))
    assert page.read_bytes() == first


def test_the_page_shows_the_most_changed_image_first(dst: Path) -> None:
    page = Path(build_report(str(dst))).read_text()
    assert page.count("data:image/jpeg;base64,") == 6
    places = [
        page.index(f'alt="{name}, before"') for name in ("print.tif", "scan-0.jpg", "scan-1.jpg")
    ]
    assert places == sorted(places)


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


def test_a_full_quarantine_does_not_make_an_endless_page(dst: Path) -> None:
    publish(dst, "cccc", [quarantined("wet.tar", f"lost-{n:04}.jpg") for n in range(5000)])
    page = Path(build_report(str(dst))).read_text()
    assert page.count("lost-") == 99  # with cut.jpg a hundred of that reason
    assert "And 4\u202f901 more" in page


def test_a_known_truth_is_shown_where_there_is_one(dst: Path) -> None:
    assert "against the known truth" not in Path(build_report(str(dst))).read_text()
    publish(
        dst,
        "bbbb",
        [cleaned("box-2.tar", "print.tif", psnr_vs_reference=31.25, ssim_vs_reference=0.95)],
    )
    assert (
        "PSNR 31.2 dB"
        in Path(build_report(str(dst))).read_text().partition("against the known truth")[2]
    )


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
    make_plan(str(src), str(dst), "cd" * 32)
    yield dst, discover(str(src))[0].id


def test_the_count_is_proved_against_the_plan(planned: tuple[Path, str]) -> None:
    dst, source_id = planned
    publish(
        dst, source_id, [row("src", "a.png"), cleaned("src", "b.png"), quarantined("src", "c.png")]
    )
    summary = summary_of(dst)
    assert (summary["planned"], summary["proved"]) == (3, True)
    page = (dst / "_demoire/report/index.html").read_text()
    assert "Nothing was lost." in page
    assert "3 planned = 1 cleaned + 1 copied + 1 quarantined" in page


def test_a_missing_image_is_said_aloud(planned: tuple[Path, str]) -> None:
    dst, source_id = planned
    publish(dst, source_id, [row("src", "a.png"), cleaned("src", "b.png")])
    assert summary_of(dst)["proved"] is False
    page = (dst / "_demoire/report/index.html").read_text()
    assert "The count does not come out." in page
    assert "3 planned ≠ 1 cleaned + 1 copied + 0 quarantined" in page


def test_a_planned_source_that_is_not_published_yet_counts_as_missing(
    planned: tuple[Path, str],
) -> None:
    dst, _ = planned
    summary = summary_of(dst)
    assert (summary["planned"], summary["images"], summary["proved"]) == (3, 0, False)


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
    make_plan(str(src), str(dst), "cd" * 32)
    page = Path(build_report(str(dst))).read_text()
    assert "caf\\udce9" in page


class TestInABrowser:
    """The page as Chromium shows it. The page's own content policy is off: escaping has to hold by
    itself.
    """

    @pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
    def visit(
        self, dst: Path, request: pytest.FixtureRequest
    ) -> Iterator[tuple[object, list[str]]]:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            pytest.skip("there is no Chromium on this machine")
        sync_api = pytest.importorskip("playwright.sync_api")
        publish(dst, "cccc", [quarantined(f"{name}.tar", name) for name in HOSTILE])
        publish_previews(dst, "cccc", [(name, name, 10.0) for name in HOSTILE])
        address = Path(build_report(str(dst))).as_uri()
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            context = browser.new_context(
                viewport={"width": 360, "height": 740},
                java_script_enabled=request.param,
                bypass_csp=True,
            )
            page = context.new_page()
            asked: list[str] = []
            page.on("request", lambda asking: asked.append(asking.url))
            page.goto(address, wait_until="load")
            yield page, [url for url in asked if url != address]
            browser.close()

    def test_nothing_runs_and_nothing_is_fetched(self, visit: tuple) -> None:
        page, asked = visit
        assert [url for url in asked if not url.startswith("data:")] == []
        assert page.title().startswith("What was cleaned in")
        assert page.locator("script, img[src=x], svg[onload]").count() == 0

    def test_hostile_names_are_read_as_they_are(self, visit: tuple) -> None:
        page, _ = visit
        assert page.get_by_text(HOSTILE[0], exact=True).count() >= 2
        assert page.get_by_text(HOSTILE[1], exact=True).first.is_visible()

    def test_a_phone_needs_no_scrolling_sideways_and_all_pictures_load(self, visit: tuple) -> None:
        page, _ = visit
        widest = max(
            box["x"] + box["width"]
            for box in (e.bounding_box() for e in page.locator(".card").all())
            if box
        )
        assert widest <= 360
        pictures = page.locator(".crops img").all()
        assert len(pictures) == 16
        assert all(picture.bounding_box()["width"] > 100 for picture in pictures)
        assert all(picture.bounding_box()["height"] > 100 for picture in pictures)


class TestPreviewPair:
    def test_the_crop_is_where_the_change_is_in_the_images_own_pixels(self) -> None:
        before = np.full((700, 900, 3), 90, np.uint8)
        before[520:600, 700:780] = [200, 40, 40]
        after = np.full((700, 900, 3), 90, np.uint8)
        pair = preview_pair(encoded(before), encoded(after))
        one, other = (np.asarray(Image.open(BytesIO(data)).convert("RGB"), int) for data in pair)
        assert one.shape == other.shape == (288, 288, 3)
        red = one[..., 0] > 150
        assert red.sum() == pytest.approx(80 * 80, rel=0.05)
        assert np.abs(other - 90).max() <= 4

    @pytest.mark.parametrize("shape", [(1, 1), (5, 900), (200, 100), (289, 287)])
    def test_small_images_come_whole_as_far_as_they_go(self, shape: tuple[int, int]) -> None:
        before, after = np.full((*shape, 3), 250, np.uint8), np.zeros((*shape, 3), np.uint8)
        one, other = (
            Image.open(BytesIO(data)) for data in preview_pair(encoded(before), encoded(after))
        )
        assert one.size == other.size == (min(shape[1], 288), min(shape[0], 288))

    def test_deep_and_grey_images_are_shown_too(self) -> None:
        deep = np.full((300, 300), 40_000, np.uint16)
        one, _ = preview_pair(encoded(deep), encoded(deep))
        assert np.asarray(Image.open(BytesIO(one)).convert("L")).mean() == pytest.approx(
            40_000 / 256, abs=2
        )

    def test_images_of_two_sizes_are_no_pair(self) -> None:
        with pytest.raises(ValueError, match="sizes"):
            preview_pair(
                encoded(np.zeros((40, 40, 3), np.uint8)), encoded(np.zeros((40, 41, 3), np.uint8))
            )

    def test_what_is_no_image_is_an_image_error(self) -> None:
        with pytest.raises(ImageError):
            preview_pair(b"no image", b"no image")


def encoded(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG."""
    data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1]
    return data.tobytes()
