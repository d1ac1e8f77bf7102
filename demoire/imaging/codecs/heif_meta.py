"""Boxes of a `meta` box that are written anew: locations, properties and references of items.

References:
    ISO/IEC 14496-12 (ISOBMFF), 8.11.3 and 8.11.12; ISO/IEC 23008-12 (HEIF), 9.3.
"""

import struct
from collections.abc import Sequence

from demoire.imaging.codecs.heif_boxes import ESSENTIAL_WIDE, Item, Reference
from demoire.imaging.codecs.iso_boxes import new_box

_MOST_NARROW = 0xFFFF  # the largest id of two bytes


def full_box(type: bytes, version: int, flags: int, content: bytes) -> bytes:
    """A whole box with version and flags."""
    payload = struct.pack(">I", version << 24 | flags) + content
    return new_box(type, payload).whole


def written_references(references: Sequence[Reference]) -> bytes:
    """The `iref` box."""
    ids = [reference.source for reference in references]
    for reference in references:
        ids.extend(reference.targets)
    version, form = _form_of_ids(ids)
    written = []
    for reference in references:
        count = len(reference.targets)
        content = struct.pack(f">{form}H", reference.source, count)
        content += struct.pack(f">{count}{form}", *reference.targets)
        written.append(new_box(reference.type, content).whole)
    return full_box(b"iref", version, 0, b"".join(written))


def written_associations(items: Sequence[Item]) -> bytes:
    """The `ipma` box, whose entries are in the order of their ids whatever that of the items."""
    in_order = sorted(items, key=lambda item: item.id)
    with_properties = [item for item in in_order if item.properties]
    version, form = _form_of_ids([item.id for item in items])
    content = [struct.pack(">I", len(with_properties))]
    for item in with_properties:
        content.append(struct.pack(f">{form}B", item.id, len(item.properties)))
        for association in item.properties:
            flag = ESSENTIAL_WIDE if association.is_essential else 0
            content.append(struct.pack(">H", association.index | flag))
    return full_box(b"ipma", version, 1, b"".join(content))


def written_locations(items: Sequence[Item], *, is_long: bool) -> bytes:
    """The `iloc` box; its length depends on the numbers of items and extents alone.

    Args:
        items: All of them.
        is_long: Whether offsets and lengths take 8 bytes, not 4.
    """
    narrow, form = _form_of_ids([item.id for item in items])
    version = 2 if narrow else 1
    sizes = 0x88 if is_long else 0x44
    pair = ">QQ" if is_long else ">II"
    content = [struct.pack(f">BB{form}", sizes, 0, len(items))]
    for item in items:
        content.append(struct.pack(f">{form}HHH", item.id, item.method, 0, len(item.extents)))
        for extent in item.extents:
            content.append(struct.pack(pair, extent.start, extent.end - extent.start))
    return full_box(b"iloc", version, 0, b"".join(content))


def _form_of_ids(ids: Sequence[int]) -> tuple[int, str]:
    """The version of a box whose ids take 2 bytes or 4, and how `struct` calls them."""
    return (1, "I") if max(ids, default=0) > _MOST_NARROW else (0, "H")
