"""The XMP packet in a TIFF file: tag 700 of the first directory.

A packet that keeps its length is written in place, a longer one to the end of the file. For a tag
that is not there yet the directory has to grow: a copy of it with one more entry goes to the end of
the file, and the header points there. Everything else stays where it is.

References:
    Adobe, "XMP Specification, Part 3", 1.1.7 "TIFF"; "TIFF Revision 6.0", section 2.
"""

import tifffile

from demoire.file_bytes import FileBytes, copy_to_change, file_of_parts, finished, stream_of
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.tiff_header import structure_in
from demoire.imaging.codecs.tiff_reader import TiffReader
from demoire.imaging.codecs.tiff_tags import BYTE, XMP

_MOST_BYTES = (1 << 32) - 1  # that offsets of a TIFF file reach; a BigTIFF file has no such limit


def with_xmp(data: FileBytes, edit: EditXmp) -> FileBytes:
    """The file with another XMP packet."""
    with structure_in(data) as file:
        tag = file.pages.first.tags.get(XMP)
        is_limited = not file.is_bigtiff
        old = None if tag is None else data[tag.valueoffset : tag.valueoffset + tag.count]
    packet = edit(old)
    if packet is None or (is_limited and len(data) + 2 * len(packet) > _MOST_BYTES):
        return data
    if old is None:
        return _with_new_tag(data, packet)
    with copy_to_change(data) as out:
        with tifffile.TiffFile(out, mode="r+") as file:
            file.pages.first.tags[XMP].overwrite(packet)
        return finished(out)


def _with_new_tag(data: FileBytes, packet: bytes) -> FileBytes:
    with stream_of(data) as stream:
        reader = TiffReader(stream)
        directory = reader.directory(reader.first_at)
    shapes = reader.shapes
    packet_at = len(data) + len(data) % 2
    directory_at = packet_at + len(packet) + len(packet) % 2
    entries = {tag: shapes.entry_as_it_is(entry) for tag, entry in directory.entries.items()}
    entries[XMP] = shapes.entry.pack(XMP, BYTE, len(packet), packet_at)
    first_at = shapes.first_at
    whole = memoryview(data)  # whose parts are no copies
    parts: list[bytes | memoryview] = [
        whole[:first_at],
        shapes.offset.pack(directory_at),
        whole[first_at + shapes.offset.size :],
        bytes(packet_at - len(data)),
        packet,
        bytes(directory_at - packet_at - len(packet)),
        shapes.count.pack(len(entries)),
        *(entries[tag] for tag in sorted(entries)),
        shapes.offset.pack(directory.next_at),
    ]
    return file_of_parts(parts, like=data)
