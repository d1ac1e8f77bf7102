"""The report's page as Chromium shows it.

The page's own content policy is off: escaping has to hold by itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.report.build import build_report
from tests.pipelines.report.conftest import (
    HOSTILE,
    publish,
    publish_previews,
    publish_two_archives,
    quarantined,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a page with hostile names on it."""
    dst = tmp_path_factory.mktemp("dst")
    publish_two_archives(dst)
    publish(dst, "cccc", [quarantined(f"{name}.tar", name) for name in HOSTILE])
    publish_previews(dst, "cccc", [(name, name, 10.0) for name in HOSTILE])
    return Path(build_report(str(dst))).as_uri()


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def visit(
    address: str, chromium: "Browser", request: pytest.FixtureRequest
) -> Iterator[tuple["Page", list[str]]]:
    """The page, and what it asked for besides itself."""
    with chromium.new_page(
        viewport={"width": 360, "height": 740},
        java_script_enabled=request.param,
        bypass_csp=True,
    ) as page:
        asked: list[str] = []
        page.on("request", lambda asking: asked.append(asking.url))
        page.goto(address, wait_until="load")
        yield page, [url for url in asked if url != address]


def test_nothing_runs_and_nothing_is_fetched(visit: tuple["Page", list[str]]) -> None:
    page, asked = visit
    assert [url for url in asked if not url.startswith("data:")] == []
    assert page.title().startswith("What was cleaned in")
    assert page.locator("script, img[src=x], svg[onload]").count() == 0


def test_hostile_names_are_read_as_they_are(visit: tuple["Page", list[str]]) -> None:
    page, _ = visit
    assert page.get_by_text(HOSTILE[0], exact=True).count() >= 2
    assert page.get_by_text(HOSTILE[1], exact=True).first.is_visible()


def test_a_phone_needs_no_scrolling_sideways_and_all_pictures_load(
    visit: tuple["Page", list[str]],
) -> None:
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
