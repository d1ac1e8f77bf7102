"""The payloads of a source's members, by few ranged reads."""

from collections.abc import Iterator, Sequence

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from pipelines.records import Member, Source
from pipelines.sources.formats import source_format


def read_members(
    source: Source, members: Sequence[Member]
) -> Iterator[tuple[Member, FileBytes | ImageError]]:
    """Read the unpacked payload of each member.

    At most 32 MB are read ahead, or one member if it is larger.

    Args:
        source: Where the members are.
        members: What is wanted. A compressed tar is read once from its beginning, so its members
            must be given in its order; those of other sources in any.

    Yields:
        The members in the order given, each with its payload, or with an ImageError where that
        cannot be had.

    Raises:
        SourceChangedError: The source is no longer the version that was planned.
    """
    yield from source_format(source.kind).read(source, members)
