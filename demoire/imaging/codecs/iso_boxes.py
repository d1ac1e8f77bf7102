"""The boxes of which JP2, HEIF, AVIF and JPEG XL files are made.

A box is its length (4 bytes, its own header counted), a type of four letters, and what it holds. A
length of 1 says that the real one follows in 8 bytes, and 0 that the box reaches to the end of the
file. A box may hold others.

References:
    ISO/IEC 14496-12, 4.2; ISO/IEC 15444-1, I.4 and, for UUID boxes, I.7.2. C2PA, "Technical
    Specification 2.1", A.3 for the manifest.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from demoire.file_bytes import FileBytes

_UUID = b"uuid"
_UUID_BYTES = 16
_C2PA_UUID = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
_MANIFEST_BOX = b"jumb"
_SHORT_HEADER = 8  # length and type
_LONG_HEADER = 16  # the length is 1, and the real one follows in 8 bytes
_LONGEST_SHORT = (1 << 32) - 1


@dataclass(frozen=True)
class FileBox:
    """One box.

    Attributes:
        type: Four letters.
        header: Its length and type, as they stand in the file.
        payload: What it holds; less than its header says where the file is cut short.
        missing: Bytes that lie beyond the end of the file.
    """

    type: bytes
    header: bytes
    payload: bytes
    missing: int = 0

    @property
    def whole(self) -> bytes:
        """The box as it stands in the file."""
        return self.header + self.payload

    @property
    def is_manifest(self) -> bool:
        """Whether it holds a signed manifest (C2PA)."""
        return self.type == _MANIFEST_BOX or self.is_uuid(_C2PA_UUID)

    def is_uuid(self, uuid: bytes) -> bool:
        """Whether it is a UUID box with this identifier."""
        return self.type == _UUID and self.payload.startswith(uuid)

    def with_payload(self, payload: bytes) -> "FileBox":
        """The box with other content, its length in the form that it had."""
        (length,) = struct.unpack_from(">I", self.header)
        if length == 0:  # reaches to the end of the file, whatever its length
            return FileBox(self.type, self.header, payload)
        return new_box(self.type, payload, is_long=length == 1)


def uuid_box(uuid: bytes, content: bytes) -> FileBox:
    """A new UUID box."""
    return new_box(_UUID, uuid + content)


def uuid_content(box: FileBox) -> bytes:
    """What a UUID box holds behind its identifier."""
    return box.payload[_UUID_BYTES:]


def new_box(type: bytes, payload: bytes, *, is_long: bool = False) -> FileBox:
    """A new box.

    Args:
        type: Four letters.
        payload: What it holds.
        is_long: Whether its length is written in 8 bytes even where 4 would do.
    """
    length = _SHORT_HEADER + len(payload)
    if is_long or length > _LONGEST_SHORT:
        return FileBox(type, struct.pack(">I4sQ", 1, type, _LONG_HEADER + len(payload)), payload)
    return FileBox(type, struct.pack(">I4s", length, type), payload)


def read_boxes(data: FileBytes) -> Iterator[FileBox]:
    """The boxes of a file or of a superbox; the last one may be cut short.

    Raises:
        ValueError: A box is shorter than its own header.
    """
    at = 0
    while at + _SHORT_HEADER <= len(data):
        length, box_type = struct.unpack_from(">I4s", data, at)
        header_size = _SHORT_HEADER
        if length == 0:
            length = len(data) - at
        elif length == 1:
            if at + _LONG_HEADER > len(data):
                return
            header_size = _LONG_HEADER
            (length,) = struct.unpack_from(">Q", data, at + _SHORT_HEADER)
        if length < header_size:
            raise ValueError("a box is shorter than its header")
        end = at + length
        header = data[at : at + header_size]
        yield FileBox(box_type, header, data[at + header_size : end], max(0, end - len(data)))
        at = end
