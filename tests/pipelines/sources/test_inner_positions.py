"""Positions of what lies inside a member: each image has its own, which tells its page."""

from dataclasses import replace

import pytest

from demoire.imaging.paged.paged_format import PageImage
from pipelines.records import Member, Source
from pipelines.sources.inner_positions import (
    PageAt,
    container_position,
    inner_position,
    is_in_inner_archive,
    is_in_paged_file,
    is_inner,
    page_at,
    page_number,
    page_position,
    paged_file_position,
    paged_position,
    position_inside,
)

FOLDER = Source("/box/", "", "folder", "1", 0)


def image_at(position: int, name: str) -> Member:
    return Member(position, f"a!/b-1.tif!/{name}", "image", 0, 1, 1, "stored", "", 0.0)


@pytest.mark.parametrize("at", [(1, 0), (100_000, 0), (1, 1), (1, 2), (500_000, 4095)])
def test_a_position_tells_the_file_and_the_page(at: tuple[int, int]) -> None:
    position = position_inside(7, page_position(*at))
    assert is_inner(position) and container_position(position) == 7
    page = image_at(position, PageImage(*at, 0, 0, 0.0).name)
    assert page_number(FOLDER, page) == at[0]


def test_a_position_in_an_archive_tells_inner_archive_file_and_image() -> None:
    largest = 2_000_000 - 1
    alone = paged_position(largest, (1 << 20) - 1)
    assert alone is not None
    assert is_in_paged_file(alone) and not is_in_inner_archive(alone)
    assert (container_position(alone), paged_file_position(alone)) == (largest, largest)
    nested = position_inside(largest, alone)
    assert alone < nested < 1 << 63, "the manifest holds signed numbers of 64 bits"
    assert is_in_paged_file(nested) and is_in_inner_archive(nested)
    assert (container_position(nested), inner_position(nested)) == (largest, alone)
    assert paged_file_position(nested) == largest
    assert paged_position(0, 1 << 20) is None
    of_inner_archive = position_inside(largest, largest)
    assert is_in_inner_archive(of_inner_archive) and not is_in_paged_file(of_inner_archive)


@pytest.mark.parametrize(("name", "at"), [("page-0003", (3, 0)), ("page-12345-17", (12345, 17))])
def test_a_name_tells_the_page_and_the_picture(name: str, at: tuple[int, int]) -> None:
    position = paged_position(0, 1)
    assert position is not None
    page = image_at(position, name)
    assert page_at(page) == PageAt(*at)
    assert page_number(replace(FOLDER, kind="tar"), page) == at[0]


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
