"""The preview as Chromium shows it, under its own content policy: its script runs, no other
does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.preview.figures import PreviewFigures
from pipelines.preview.page import write_preview
from tests.pipelines.preview.conftest import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class Visit:
    """The page in a browser, with what it asked for and what it complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def move(self, slider: Any, value: float) -> None:
        """Move a slider as a hand does."""
        slider.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", value)

    def text(self, element_id: str) -> str:
        return self.page.locator(f"#{element_id}").inner_text()


@pytest.fixture
def visit(page: Path, chromium: "Browser") -> Iterator[Visit]:
    with chromium.new_page(viewport={"width": 360, "height": 740}) as shown:
        visit = Visit(shown)
        shown.goto(page.as_uri(), wait_until="load")
        yield visit


def test_the_pages_own_script_runs_and_nothing_else_does(visit: Visit) -> None:
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith(("data:", "file:"))] == []
    assert visit.page.title() == "What cleaning would change in /archive/of 1890"
    assert visit.page.locator("img[src=x]").count() == 0
    assert visit.page.get_by_text(HOSTILE, exact=True).count() >= 1


def test_moving_the_threshold_shows_what_would_then_change(
    visit: Visit, figures: PreviewFigures
) -> None:
    assert visit.text("would-change") == "6"
    assert visit.text("command") == "demoire clean '/archive/of 1890' DST"
    scores = sorted(look.score for look in figures.looks.images if look.score is not None)
    between = (scores[-1] + scores[-3]) / 2  # the highest ones: a striped picture and its copy

    threshold = visit.page.locator("#threshold")
    visit.move(threshold, 0)
    assert visit.text("would-change") == "11"
    assert visit.text("would-change-share") == "91.7 %"
    assert visit.page.locator("figure.stays").count() == 0
    visit.move(threshold, 1)
    assert visit.text("would-change") == "0"
    assert visit.text("command").endswith(" --threshold 1.000")
    cards = visit.page.locator("figure[data-score]")
    assert visit.page.locator("figure.stays").count() == cards.count() > 0
    visit.move(threshold, between)
    at = float(visit.page.locator("#threshold").input_value())
    expected = [score for score in scores if score >= at]
    assert visit.text("would-change") == str(len(expected))


def test_another_threshold_takes_the_place_of_the_one_that_was_given(
    figures: PreviewFigures, tmp_path: Path, chromium: "Browser"
) -> None:
    page = tmp_path / "preview.html"
    given = "demoire clean SRC DST --threshold 0.97 --device cpu"
    write_preview(figures, "SRC", given, page)
    with chromium.new_page() as shown:
        visit = Visit(shown)
        shown.goto(page.as_uri(), wait_until="load")
        assert visit.text("command") == given

        visit.move(shown.locator("#threshold"), 1)

        assert visit.text("command") == "demoire clean SRC DST --device cpu --threshold 1.000"


def test_the_line_of_the_histogram_follows_the_threshold(visit: Visit) -> None:
    line = visit.page.locator("#threshold-line")

    positions = []
    for value in (0, 0.5, 1):
        visit.move(visit.page.locator("#threshold"), value)
        positions.append(float(line.get_attribute("x1")))

    left, middle, right = positions
    assert middle - left == pytest.approx(right - middle)
    assert right - left > 400


def test_the_dividing_line_uncovers_the_cleaned_picture(visit: Visit) -> None:
    pair = visit.page.locator(".compare").first
    after = pair.locator(".after-picture")

    clips = []
    for value in (0, 100):
        visit.move(pair.locator("input"), value)
        clips.append(after.evaluate("e => getComputedStyle(e).clipPath"))

    assert clips == ["inset(0px 0px 0px 0%)", "inset(0px 0px 0px 100%)"]


def test_pictures_are_shown_in_their_own_pixels_and_a_phone_needs_no_scrolling_sideways(
    visit: Visit,
) -> None:
    sizes = visit.page.locator(".look img").evaluate_all(
        "images => images.map(e => [e.getBoundingClientRect().width, e.naturalWidth])"
    )
    assert sizes
    assert all(shown == natural == 264 for shown, natural in sizes)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
