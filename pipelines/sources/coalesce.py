"""Byte ranges that lie close together, read as one.

A request costs about as much time as reading a megabyte. So members with a small gap between them
are read in one request, gap and all, as long as that stays a bounded piece of memory.
"""

from collections.abc import Callable, Iterator, Sequence

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, part_of
from pipelines.records import Member
from pipelines.sources.members import obstacle
from pipelines.storage.place import Place, read_object

COALESCE_GAP = 1 << 20  # bytes
COALESCE_LIMIT = 32 << 20  # bytes

Span = tuple[int, int]  # offset and length, bytes


def coalesce(spans: Sequence[Span], gap: int, limit: int) -> Iterator[list[int]]:
    """Group consecutive spans that one read takes in.

    Args:
        spans: (offset, length) of each, in the order in which they are wanted.
        gap: Bytes at most that two neighbours are apart, or overlap.
        limit: Bytes at most of a group. A span longer than that is a group of its own.

    Yields:
        The indexes of the spans of one group. Every span comes once, in order; within a group the
        offsets ascend.
    """
    group: list[int] = []
    for number, (offset, length) in enumerate(spans):
        if group:
            start = spans[group[0]][0]
            last_offset, last_length = spans[group[-1]]
            last_end = last_offset + last_length
            ascends = last_offset <= offset
            is_near = last_end - gap <= offset <= last_end + gap
            end = max(offset + length, last_end)
            if not ascends or not is_near or end - start > limit:
                yield group
                group = []
        group.append(number)
    if group:
        yield group


def read_ranges(
    place: Place,
    members: Sequence[Member],
    version: str,
    span_length: Callable[[Member], int],
) -> Iterator[tuple[Member, FileBytes | ImageError]]:
    """Read the range of each member out of one object, by few requests.

    Args:
        place: The archive.
        members: What is wanted, in any order.
        version: The version that the archive has to have.
        span_length: How many bytes from a member's offset on are needed.

    Yields:
        Each member, in the order given, with the bytes of its span: fewer only where the object
        ends. An ImageError stands for a member that cannot be read, or had better not be.
    """
    spans = []
    for member in members:
        if obstacle(member) is None:
            spans.append((member.offset, span_length(member)))
    pieces = _read_spans(place, spans, version)
    for member in members:
        error = obstacle(member)
        if error is None:
            yield member, next(pieces)
        else:
            yield member, error


def _read_spans(place: Place, spans: Sequence[Span], version: str) -> Iterator[FileBytes]:
    for group in coalesce(spans, COALESCE_GAP, COALESCE_LIMIT):
        wanted = [spans[number] for number in group]
        start = wanted[0][0]
        end = max(offset + length for offset, length in wanted)
        data = read_object(place, "", start, end - start, version=version)
        for offset, length in wanted:
            begin = offset - start
            yield part_of(data, begin, length)
