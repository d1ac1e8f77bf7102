"""Positions and names of what lies inside a member: in an archive in an archive, or in a file of
several pages.

The high half of the position is that of the outer member, counted from 1. The low half is the
position inside it: a member's position in its inner archive, a page's number, or page and number of
a picture. So what lies in nothing has a high half of 0. See `pipelines.sources.formats.nesting` and
`formats.pages`.

A picture on a page is at 2^31 + 4096 * page + its number on the page. So the position alone tells
it from a page, of which a file has far less than 2^31, and gives the number of its page.
"""

from dataclasses import dataclass

from pipelines.records import Member, Source

SEPARATOR = "!/"  # between the name of an outer member and that of what is inside

_INNER_POSITIONS = 1 << 32  # more than any archive has members
WHOLE_ARCHIVE = _INNER_POSITIONS - 1  # the inner position that stands for a damaged inner archive

_PICTURES = 1 << 31  # from here on are pictures on pages
_PICTURES_A_PAGE = 1 << 12
_MOST_PAGES = (_PICTURES // _PICTURES_A_PAGE) - 1


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
    return (outer_position + 1) * _INNER_POSITIONS + inner_position


def is_inner(position: int) -> bool:
    """Whether what has this position lies inside a member."""
    return position >= _INNER_POSITIONS


def container_position(position: int) -> int:
    """The position of the inner archive, or file of pages, that it lies in."""
    return position // _INNER_POSITIONS - 1


def inner_position(position: int) -> int:
    """Its position in there."""
    return position % _INNER_POSITIONS


def file_name_of(member: Member) -> str:
    """The name of a folder's file that a member is, or is a page of."""
    if is_inner(member.position):
        return member.name.partition(SEPARATOR)[0]
    return member.name


def page_position(page: int, on_page: int) -> int:
    """The position inside its file of an image; see `PageAt`."""
    if not on_page:
        return page
    return _PICTURES + page * _PICTURES_A_PAGE + on_page


def has_position(page: int, on_page: int) -> bool:
    """Whether there is room for this image among the positions of a file."""
    return page < _MOST_PAGES and on_page < _PICTURES_A_PAGE


def page_at(position: int) -> PageAt:
    """The page, and picture on it, at a position inside a folder's file."""
    inside = inner_position(position)
    if inside < _PICTURES:
        return PageAt(inside, 0)
    page, on_page = divmod(inside - _PICTURES, _PICTURES_A_PAGE)
    return PageAt(page, on_page)


def page_number(source: Source, position: int) -> int:
    """On which page of a file an image is, from 1; 0 for what is on none."""
    is_on_page = source.kind == "folder" and is_inner(position)
    return page_at(position).page if is_on_page else 0
