"""Positions and names of what lies inside a member: in an archive in an archive, or in a file of
several pages.

The high half of the position is that of the outer member, counted from 1. The low half is the
position inside it: a member's position in its inner archive, a page's number, or page and number of
a picture. So what lies in nothing has a high half of 0. See `pipelines.sources.formats.nesting` and
`formats.pages`.

In a folder, a picture on a page is at 2^31 + 4096 * page + its number on the page. So the position
alone tells it from a page, of which a file has far less than 2^31.

An image in a file of several pages that lies in an archive has bit 62 set. Below are, counted from
1, the positions of the inner archive in the outer one (21 bits; 0 where the file lies in the outer
one itself) and of the file in its archive (21 bits), and the number of the image in its file (20).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.records import Member, Source

SEPARATOR = "!/"  # between the name of an outer member and that of what is inside

_INNER_POSITIONS = 1 << 32  # more than any archive has members
WHOLE_ARCHIVE = _INNER_POSITIONS - 1  # the inner position that stands for a damaged inner archive

_PICTURES = 1 << 31  # from here on are pictures on pages
_PICTURES_A_PAGE = 1 << 12
_MOST_PAGES = (_PICTURES // _PICTURES_A_PAGE) - 1

_PAGE = re.compile(r"page-(?P<page>[0-9]{4,})(-(?P<on_page>[0-9]+))?")

_IN_PAGED_FILE = 1 << 62
_IMAGES_A_FILE = 1 << 20
_MEMBERS = 1 << 21  # more than `members.MOST_MEMBERS`
_FILES = _IMAGES_A_FILE * _MEMBERS


@dataclass(frozen=True)
class PageAt:
    """Where in a file of several pages an image is.

    Attributes:
        page: From 1.
        on_page: Number of the picture on its page, from 1; 0 where the page is the image.
    """

    page: int
    on_page: int


def position_inside(outer_position: int, inner_position: int) -> int:
    """The position in the source of what lies inside a member.

    Args:
        outer_position: Of the inner archive or the file of pages.
        inner_position: In it.
    """
    if is_in_paged_file(inner_position):
        return inner_position + (outer_position + 1) * _FILES
    return (outer_position + 1) * _INNER_POSITIONS + inner_position


def is_inner(position: int) -> bool:
    """Whether what has this position lies inside a member."""
    return position >= _INNER_POSITIONS


def container_position(position: int) -> int:
    """The position of the inner archive, or file of pages, that it lies in: the outermost one."""
    if not is_in_paged_file(position):
        return position // _INNER_POSITIONS - 1
    if is_in_inner_archive(position):
        return (position - _IN_PAGED_FILE) // _FILES - 1
    return paged_file_position(position)


def by_container(members: Iterable[Member]) -> dict[int, list[Member]]:
    """Those members that lie inside another one, by its position; each in the order given."""
    inside: dict[int, list[Member]] = {}
    for member in members:
        if is_inner(member.position):
            inside.setdefault(container_position(member.position), []).append(member)
    return inside


def inner_position(position: int) -> int:
    """Its position in there."""
    if is_in_paged_file(position):
        return _IN_PAGED_FILE + position % _FILES
    return position % _INNER_POSITIONS


def paged_position(file_position: int, number: int) -> int | None:
    """The position of an image in a file of several pages that lies in an archive.

    Args:
        file_position: Of the file in its archive.
        number: Of the image in its file, from 1.

    Returns:
        None where no file has so many that there were room for it.
    """
    if number >= _IMAGES_A_FILE:
        return None
    return _IN_PAGED_FILE + (file_position + 1) * _IMAGES_A_FILE + number


def is_in_paged_file(position: int) -> bool:
    """Whether it is an image in a file of several pages that lies in an archive."""
    return position >= _IN_PAGED_FILE


def is_in_inner_archive(position: int) -> bool:
    """Whether it lies in an archive inside an archive, in a file of several pages or not."""
    if is_in_paged_file(position):
        return position - _IN_PAGED_FILE >= _FILES
    return is_inner(position)


def paged_file_position(position: int) -> int:
    """The position, in the archive that it lies in, of the file that an image is in."""
    return position % _FILES // _IMAGES_A_FILE - 1


def file_name_of(member: Member) -> str:
    """The name of a folder's file that a member is, or is a page of."""
    if is_inner(member.position):
        return member.name.partition(SEPARATOR)[0]
    return member.name


def reading_order(position: int) -> tuple[int, int]:
    """What images are sorted by that are read from a source in one go.

    Those in a file of several pages come with the file, as a compressed tar is read but once.
    """
    if is_in_paged_file(position):
        return container_position(position), position
    return position, 0


def page_position(page: int, on_page: int) -> int:
    """The position inside its file of an image; see `PageAt`."""
    if not on_page:
        return page
    return _PICTURES + page * _PICTURES_A_PAGE + on_page


def has_position(page: int, on_page: int) -> bool:
    """Whether there is room for this image among the positions of a file."""
    return page < _MOST_PAGES and on_page < _PICTURES_A_PAGE


def page_at(member: Member) -> PageAt:
    """The page of its file that an image is on, and which picture on it, by its name.

    A picture that is the first on its page is named like the page. One in an office document is on
    none, and has a name of its own.
    """
    matched = _PAGE.fullmatch(member.name.rpartition(SEPARATOR)[2])
    if matched is None:
        return PageAt(0, 0)
    return PageAt(int(matched["page"]), int(matched["on_page"] or 0))


def page_number(source: Source, member: Member) -> int:
    """On which page of a file an image is, from 1; 0 for what is on none."""
    is_on_page = source.kind == "folder" and is_inner(member.position)
    if is_on_page or is_in_paged_file(member.position):
        return page_at(member).page
    return 0
