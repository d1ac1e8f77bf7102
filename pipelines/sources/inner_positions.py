"""Positions of what lies in an inner archive; see `pipelines.sources.formats.nesting`.

The high half is the position of the inner archive in the outer one, counted from 1. The low half is
the member's position in the inner archive. So a member of the outer archive has a high half of 0.
"""

from pipelines.records import Member

_INNER_POSITIONS = 1 << 32  # more than any archive has members
WHOLE_ARCHIVE = _INNER_POSITIONS - 1  # the inner position that stands for a damaged inner archive


def position_inside(container: Member, inner_position: int) -> int:
    """The position in the outer archive of a member of an inner one.

    Args:
        container: The inner archive, as a member of the outer one.
        inner_position: The member's position in the inner archive.
    """
    return (container.position + 1) * _INNER_POSITIONS + inner_position


def is_inner(member: Member) -> bool:
    """Whether a member lies in an inner archive."""
    return member.position >= _INNER_POSITIONS


def container_position(member: Member) -> int:
    """The position of the inner archive that a member lies in."""
    return member.position // _INNER_POSITIONS - 1


def inner_position(member: Member) -> int:
    """The position of a member in its inner archive."""
    return member.position % _INNER_POSITIONS
