"""Positions of what lies inside a member: each image has its own, which tells its page."""

import pytest

from demoire.imaging.paged.paged_format import PageImage
from pipelines.records import Source
from pipelines.sources.inner_positions import (
    PageAt,
    container_position,
    is_inner,
    page_at,
    page_number,
    page_position,
    position_inside,
)

FOLDER = Source("/box/", "", "folder", "1", 0)


@pytest.mark.parametrize("at", [(1, 0), (100_000, 0), (1, 1), (1, 2), (500_000, 4095)])
def test_a_position_tells_the_file_and_the_page(at: tuple[int, int]) -> None:
    position = position_inside(7, page_position(*at))
    assert is_inner(position) and container_position(position) == 7
    assert page_at(position) == PageAt(*at)
    assert page_number(FOLDER, position) == at[0]


def test_positions_of_pictures_are_in_the_order_of_the_pages() -> None:
    pictures = [(1, 1), (1, 2), (1, 4095), (2, 1), (300, 1)]
    positions = [page_position(*at) for at in pictures]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize(
    ("page", "on_page", "name"),
    [(3, 0, "page-0003"), (3, 1, "page-0003"), (3, 2, "page-0003-2"), (12345, 0, "page-12345")],
)
def test_an_image_is_named_after_its_page(page: int, on_page: int, name: str) -> None:
    assert PageImage(page, on_page, 0, 0, 0.0).name == name
