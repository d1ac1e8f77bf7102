"""Byte ranges that lie close together, read as one."""

from collections.abc import Iterator, Sequence

COALESCE_GAP, COALESCE_LIMIT = 1 << 20, 32 << 20  # a request costs about as much time as 1 MB


def coalesce(spans: Sequence[tuple[int, int]], gap: int, limit: int) -> Iterator[list[int]]:
    """Groups of consecutive (offset, length) spans that one read takes in: ascending, gaps and
    total bounded.

    Yields the spans' places in the sequence; every one once, in order. A span longer than the limit
    is a group alone.
    """
    group: list[int] = []
    for i, (offset, length) in enumerate(spans):
        if group:
            first, (last, last_length) = spans[group[0]][0], spans[group[-1]]
            joins = (
                last + last_length <= offset + gap and last <= offset <= last + last_length + gap
            )
            if not joins or max(offset + length, last + last_length) - first > limit:
                yield group
                group = []
        group.append(i)
    if group:
        yield group
