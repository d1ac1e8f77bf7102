"""New strips or tiles in a TIFF file, in place of old ones.

A new one takes the place of the old one if it fits, else it goes to the end of the file; only the
tags of offsets and sizes change.
"""

import io
from collections.abc import Iterable

import tifffile

from demoire.imaging.codecs.tiff_layout import Layout
from demoire.imaging.codecs.tiff_levels import levels
from demoire.imaging.codecs.tiff_tags import (
    LONG,
    LONG8,
    SHORT,
    STRIP_OFFSETS,
    STRIP_SIZES,
    TILE_OFFSETS,
    TILE_SIZES,
)

_MOST_SHORT = (1 << 16) - 1


def with_segments(data: bytes, layout: Layout, packed: Iterable[tuple[int, bytes]]) -> bytes:
    """The file with these strips or tiles, by index, in place of the old ones."""
    old_offsets = [segment.offset for segment in layout.segments]
    old_sizes = [segment.size for segment in layout.segments]
    offsets = old_offsets.copy()
    sizes = old_sizes.copy()
    # Blank strips may share their bytes: writing over them would change them all.
    is_shared = len(set(offsets)) < len(offsets)
    end = len(data)
    # Closed by hand, or tifffile's view would keep a copy of the file.
    with io.BytesIO(data) as out:
        for index, segment in packed:
            if len(segment) > sizes[index] or is_shared:
                end += end % 2  # offsets are even by custom
                offsets[index] = end
                end += len(segment)
            sizes[index] = len(segment)
            out.seek(offsets[index])
            out.write(segment)
        out.seek(0)
        with tifffile.TiffFile(out, mode="r+") as file:
            if offsets != old_offsets:
                _overwrite(file, layout, (STRIP_OFFSETS, TILE_OFFSETS), offsets)
            if sizes != old_sizes:
                _overwrite(file, layout, (STRIP_SIZES, TILE_SIZES), sizes)
        return out.getvalue()


def _overwrite(
    file: tifffile.TiffFile, layout: Layout, names: tuple[int, int], values: list[int]
) -> None:
    """Give the first of these tags that the page has other values, in a wider type if needed."""
    pages = [file.pages.first, *levels(file)]
    tags = next(page for page in pages if page.offset == layout.directory).tags
    tag = next((tags[name] for name in names if name in tags), None)
    if tag is None:
        return
    is_too_narrow = int(tag.dtype) == SHORT and max(values) > _MOST_SHORT
    wide = LONG8 if file.is_bigtiff else LONG
    tag.overwrite(tuple(values), dtype=wide if is_too_narrow else None)
