"""Positions and names of what lies inside a member: in an archive in an archive, or in a file of
several pages.

The high half of the position is that of the outer member, counted from 1. The low half is the
position inside it: a page's number, a member's position in its inner archive. So what lies in
nothing has a high half of 0. See `pipelines.sources.formats.nesting` and `formats.pages`.
"""

from pipelines.records import Member, Source

SEPARATOR = "!/"  # between the name of an outer member and that of what is inside

_INNER_POSITIONS = 1 << 32  # more than any archive has members
WHOLE_ARCHIVE = _INNER_POSITIONS - 1  # the inner position that stands for a damaged inner archive


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


def page_number(source: Source, position: int) -> int:
    """Which page of a file has this position, from 1; 0 for what is no page."""
    is_page = source.kind == "folder" and is_inner(position)
    return inner_position(position) if is_page else 0
