"""The signed manifest in a TIFF file: a tag of the first directory.

References:
    C2PA, "Technical Specification 2.1", A.3.3 "Embedding manifests into TIFFs".
"""

from demoire.file_bytes import FileBytes, copy_to_change, finished
from demoire.imaging.codecs.tiff_directory import read_directory
from demoire.imaging.codecs.tiff_tags import MANIFEST


def is_signed(data: FileBytes) -> bool:
    """Whether the file carries a C2PA manifest."""
    directory = read_directory(data)
    return any(directory.tag_of(entry) == MANIFEST for entry in directory.entries)


def without_manifest(data: FileBytes) -> FileBytes:
    """The file without its manifest, if it has one; nothing else moves.

    The tag's entry is taken out of the directory, which becomes shorter where it is, and the bytes
    of the manifest become zeros.
    """
    if not is_signed(data):
        return data
    directory = read_directory(data)
    shapes = directory.shapes
    kept: list[bytes] = []
    with copy_to_change(data) as out:
        for entry in directory.entries:
            if directory.tag_of(entry) != MANIFEST:
                kept.append(entry)
                continue
            _, _, length, offset = shapes.entry.unpack(entry)
            if shapes.inline < length <= len(data) - offset:
                out.seek(offset)
                out.write(bytes(length))
        missing = len(directory.entries) - len(kept)
        out.seek(directory.at)
        out.write(shapes.count.pack(len(kept)))
        out.write(b"".join(kept))
        out.write(shapes.offset.pack(directory.next_at))
        out.write(bytes(missing * shapes.entry.size))
        return finished(out)
