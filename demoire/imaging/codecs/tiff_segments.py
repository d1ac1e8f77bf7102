"""New strips or tiles in a TIFF file that is in memory, in place of old ones."""

from collections.abc import Iterable

from demoire.imaging.codecs.tiff_layout import Layout
from demoire.imaging.codecs.tiff_patch import NewSegment, PageRefusedError, PatchedFile
from demoire.imaging.codecs.tiff_reader import SEGMENT_TAGS


def put_segments(
    file: PatchedFile, layout: Layout, packed: Iterable[tuple[int, bytes | memoryview]]
) -> None:
    """Exchange strips or tiles of a page, by index; its directory stays where it is.

    Raises:
        PageRefusedError: The page has neither strips nor tiles, or the file would become too large.
    """
    directory = file.reader.directory(layout.directory)
    tags = next((tags for tags in SEGMENT_TAGS if tags[0] in directory.entries), None)
    if tags is None:
        raise PageRefusedError("a page without strips and tiles")
    changed = (
        NewSegment(index, layout.segments[index].offset, layout.segments[index].size, data)
        for index, data in packed
    )
    file.put_entries(directory, file.put_segments(directory, tags, changed))
