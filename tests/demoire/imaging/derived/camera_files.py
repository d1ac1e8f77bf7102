"""Files as cameras, phones and editors write them, drawn here: pictures with what hangs on them."""

import io
import struct
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(height: int = 240, width: int = 320, *, stripes: bool = False) -> NDArray[np.uint8]:
    """A picture of two colours, (H, W, 3): left dark, right light; or of stripes."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = (200, 180, 160)
    if stripes:
        pixels[:, ::4] = 255
    return pixels


def jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """A plain JPEG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def small(pixels: NDArray[np.uint8], width: int, height: int) -> bytes:
    """A thumbnail of a picture, as a JPEG file."""
    return jpeg(np.asarray(Image.fromarray(pixels).resize((width, height))))


def exif(thumbnail: bytes, *, order: str = ">", behind: bytes = b"") -> bytes:
    """Exif data with an orientation in IFD0 and a JPEG thumbnail in IFD1."""
    mark = b"MM" if order == ">" else b"II"
    first = 8
    second = first + 2 + 12 + 4
    start = second + 2 + 3 * 12 + 4
    header = mark + struct.pack(order + "HI", 42, first)
    ifd0 = struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, 1, 0, second)
    ifd1 = struct.pack(order + "H", 3)
    ifd1 += struct.pack(order + "HHIHH", 0x0103, 3, 1, 6, 0)
    ifd1 += struct.pack(order + "HHII", 0x0201, 4, 1, start)
    ifd1 += struct.pack(order + "HHII", 0x0202, 4, 1, len(thumbnail))
    ifd1 += struct.pack(order + "I", 0)
    return header + ifd0 + ifd1 + thumbnail + behind


def photoshop(thumbnail: bytes, width: int, height: int) -> bytes:
    """A Photoshop segment's payload: a caption, a thumbnail, and a resolution."""
    row_bytes = 3 * width
    head = struct.pack(
        ">6I2H", 1, width, height, row_bytes, row_bytes * height, len(thumbnail), 24, 1
    )
    resources = [(1008, b"caption"), (1036, head + thumbnail), (1005, bytes(16))]
    payload = b"Photoshop 3.0\0"
    for number, content in resources:
        payload += b"8BIM" + struct.pack(">H", number) + b"\0\0"
        payload += struct.pack(">I", len(content)) + content + bytes(len(content) % 2)
    return payload


def with_segments(file: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG file with further segments behind its JFIF segment."""
    (length,) = struct.unpack_from(">H", file, 4)
    at = 4 + length
    added = b""
    for marker, payload in segments:
        added += bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload
    return file[:at] + added + file[at:]


def with_pictures_behind(
    file: bytes, *behind: tuple[int, bytes], gap: bytes = b"", order: str = ">"
) -> bytes:
    """A multi-picture file: the first picture, an index, and (type, JPEG file) behind it."""
    count = 1 + len(behind)
    mark = b"MM" if order == ">" else b"II"
    entries_at = 8 + 2 + 3 * 12 + 4
    index = mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", 3)
    index += struct.pack(order + "HHI", 0xB000, 7, 4) + b"0100"
    index += struct.pack(order + "HHII", 0xB001, 4, 1, count)
    index += struct.pack(order + "HHII", 0xB002, 7, 16 * count, entries_at)
    index += struct.pack(order + "I", 0)
    placeholder = b"MPF\0" + index + bytes(16 * count)
    first = with_segments(file, (0xE2, placeholder))
    base = first.index(b"MPF\0") + 4
    entries = struct.pack(order + "3I2H", 0x20030000, len(first), 0, 0, 0)
    trailer = b""
    for kind, content in behind:
        trailer += gap
        offset = len(first) + len(trailer) - base
        entries += struct.pack(order + "3I2H", kind, len(content), offset, 0, 0)
        trailer += content
    at = base + entries_at
    return first[:at] + entries + first[at + len(entries) :] + trailer


def exiftool(data: bytes, *options: str, suffix: str = ".jpg", folder: Path) -> bytes:
    """What exiftool says of a file, a reader that shares no line with ours."""
    path = folder / f"asked{suffix}"
    path.write_bytes(data)
    done = subprocess.run(["exiftool", *options, str(path)], capture_output=True, check=True)
    return done.stdout
