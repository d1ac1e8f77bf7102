"""The index of the pictures that follow a JPEG picture in its file (MPF), and these pictures.

Cameras and phones write previews, gain maps and depth maps behind the picture, and an APP2 segment
that says by size and offset where each is. When the picture changes its length, all of them move.
Previews are made anew; everything else stays as the bytes it was; the index is corrected.

References:
    CIPA DC-007 (Multi-Picture Format), 5.2.2 for the header, 5.2.3 for the index and its entries.
"""

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.tiff_reader import DamagedPagesError, TiffReader
from demoire.imaging.derived import StaleDataError

APP2 = 0xE2

_SIGNATURE = b"MPF\0"
_NUMBER_OF_IMAGES = 0xB001
_ENTRIES = 0xB002
_ENTRY = 16  # bytes: attributes, size, offset, two numbers of dependent images
_TYPE = 0xFFFFFF  # the bits of the attributes that say what an image is
_PREVIEWS = 0x01  # first byte of the type: large thumbnails
_FRAMES = 0x02  # panorama, disparity, multi-angle: pictures in their own right
_MOST_IMAGES = 1000


@dataclass(frozen=True)
class IndexedImage:
    """One entry of the index."""

    attributes: int
    size: int  # bytes
    offset: int  # from the index's own byte order mark; 0 for the first image
    at: int  # where the entry lies in the payload

    @property
    def is_preview(self) -> bool:
        """Whether it shows the picture in small."""
        return (self.attributes & _TYPE) >> 16 == _PREVIEWS

    @property
    def is_frame(self) -> bool:
        """Whether it is a picture in its own right."""
        return (self.attributes & _TYPE) >> 16 == _FRAMES


@dataclass(frozen=True)
class PictureIndex:
    """An MPF segment."""

    payload: bytes  # of the APP2 segment
    order: str  # "<" or ">", of its numbers
    images: tuple[IndexedImage, ...]

    def with_images(self, images: Sequence[IndexedImage]) -> bytes:
        """The payload with these sizes and offsets."""
        payload = bytearray(self.payload)
        for image in images:
            struct.pack_into(self.order + "2I", payload, image.at + 4, image.size, image.offset)
        return bytes(payload)


def read_index(payload: bytes) -> PictureIndex | None:
    """The index in an APP2 segment's payload; None where it is another kind of segment.

    Raises:
        StaleDataError: It is an index, and damaged.
    """
    if not payload.startswith(_SIGNATURE):
        return None
    if payload[len(_SIGNATURE) :][:2] not in (b"II", b"MM"):
        raise StaleDataError("an index of pictures (MPF) without a byte order")
    try:
        reader = TiffReader(io.BytesIO(payload[len(_SIGNATURE) :]))
        order = reader.shapes.order
        directory = reader.directory(reader.first_at)
        images = reader.number(directory, _NUMBER_OF_IMAGES)
        listed_at = directory.entries[_ENTRIES].value_at if _ENTRIES in directory.entries else None
        if listed_at is None or not 1 <= images <= _MOST_IMAGES:
            # Of the other images of a file only the attributes are here, no index.
            return None
        listed = []
        for number in range(images):
            at = len(_SIGNATURE) + listed_at + _ENTRY * number
            attributes, size, offset = struct.unpack_from(order + "3I", payload, at)
            listed.append(IndexedImage(attributes, size, offset, at))
    except (DamagedPagesError, struct.error) as error:
        raise StaleDataError("a damaged index of pictures (MPF)") from error
    return PictureIndex(payload, order, tuple(listed))


def moved(
    index: PictureIndex,
    *,
    old_base: int,
    old_file: FileBytes,
    new_base: int,
    new_length: int,
    renew_preview: Callable[[bytes], bytes],
) -> tuple[bytes, bytes]:
    """The index and what follows the picture, once the picture has another length.

    Args:
        index: The index as it was.
        old_base: Where the index's byte order mark lay in the file: offsets count from there.
        old_file: The whole file as it was.
        new_base: Where the byte order mark lies now.
        new_length: Bytes of the cleaned picture, its end-of-image marker among them.
        renew_preview: Makes a preview anew, given the old one as a JPEG file.

    Returns:
        The payload of the new index, and the bytes that follow the picture.

    Raises:
        StaleDataError: An image does not lie behind the picture, or two overlap.
    """
    picture, *others = index.images
    old_end = picture.size
    position = old_end
    trailer: list[bytes] = []
    length = 0
    new_images = [replace(picture, size=new_length)]
    for image in sorted(others, key=lambda image: image.offset):
        start = old_base + image.offset
        end = start + image.size
        if start < position or end > len(old_file):
            raise StaleDataError("an index of pictures (MPF) whose pictures are elsewhere")
        between = old_file[position:start]
        content = old_file[start:end]
        if image.is_preview:
            content = renew_preview(content)
        offset = new_length + length + len(between) - new_base
        new_images.append(replace(image, size=len(content), offset=offset))
        trailer += [between, content]
        length += len(between) + len(content)
        position = end
    trailer.append(old_file[position:])
    return index.with_images(new_images), b"".join(trailer)
