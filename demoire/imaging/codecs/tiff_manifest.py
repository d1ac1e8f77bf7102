"""The signed manifest in a TIFF file: a tag of the first directory.

References:
    C2PA, "Technical Specification 2.1", A.3.3 "Embedding manifests into TIFFs".
"""

import tifffile

from demoire.file_bytes import FileBytes, copy_to_change, finished, stream_of
from demoire.imaging.codecs.tiff_reader import TiffReader
from demoire.imaging.codecs.tiff_tags import MANIFEST


def is_signed(file: tifffile.TiffFile) -> bool:
    """Whether the file carries a C2PA manifest."""
    return MANIFEST in file.pages.first.tags


def without_manifest(data: FileBytes) -> FileBytes:
    """The file without its manifest, if it has one; nothing else moves.

    The tag's entry is taken out of the directory, which becomes shorter where it is, and the bytes
    of the manifest become zeros.

    Raises:
        DamagedPagesError: The directory is not there in full.
    """
    with stream_of(data) as stream:
        reader = TiffReader(stream)
        directory = reader.directory(reader.first_at)
    manifest = directory.entries.pop(MANIFEST, None)
    if manifest is None:
        return data
    shapes = reader.shapes
    with copy_to_change(data) as out:
        if manifest.value_at is not None and manifest.value_at + manifest.size <= len(data):
            out.seek(manifest.value_at)
            out.write(bytes(manifest.size))
        out.seek(directory.at)
        out.write(shapes.count.pack(len(directory.entries)))
        for entry in directory.entries.values():
            out.write(shapes.entry_as_it_is(entry))
        out.write(shapes.offset.pack(directory.next_at))
        out.write(bytes(shapes.entry.size))
        return finished(out)
