"""The items of a HEIF or AVIF file: what its `meta` box says of them, as values to be changed.

A picture in such a file is an item: some bytes of the file, a type, and properties that it may
share with other items. Thumbnails, alpha, Exif and XMP are items as well, tied to the picture by
references.

References:
    ISO/IEC 14496-12 (ISOBMFF): boxes (4.2), item location (8.11.3), item information (8.11.6),
    item references (8.11.12). ISO/IEC 23008-12 (HEIF): item properties (9.3).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.iso_boxes import FileBox, read_boxes
from demoire.imaging.codecs.raster import CutShortError

FILE_TYPE = b"ftyp"
META = b"meta"
DATA = b"mdat"
SEQUENCE = b"moov"
_FULL_BOX = 4  # bytes of version and flags
_IN_FILE = 0  # an item's bytes lie at offsets of the file
IN_META = 1  # or in the `idat` box of `meta`
ESSENTIAL_WIDE = 0x8000
_ESSENTIAL = 0x80
_MIME = b"mime"
_MOST_EXTENTS = 100  # of an item


@dataclass(frozen=True)
class Extent:
    """Bytes of an item: from `start` to `end`, in the file or in the `idat` box."""

    start: int
    end: int


@dataclass(frozen=True)
class Association:
    """A property of an item.

    Attributes:
        index: Of the property, from 1.
        is_essential: Whether readers that do not know the property must not show the item.
    """

    index: int
    is_essential: bool


@dataclass(frozen=True)
class Item:
    """One item."""

    id: int
    type: bytes
    content_type: bytes  # of metadata: a MIME type; empty for pictures
    is_hidden: bool
    method: int  # of construction: where its extents count from
    extents: tuple[Extent, ...]
    properties: tuple[Association, ...]


@dataclass(frozen=True)
class Reference:
    """What ties an item to others: `thmb`, `auxl`, `cdsc`, `dimg` and the like."""

    type: bytes
    source: int
    targets: tuple[int, ...]


@dataclass(frozen=True)
class PlacedBox:
    """A box of the file itself, and where it begins."""

    start: int
    box: FileBox

    @property
    def end(self) -> int:
        """Where the next box begins."""
        return self.start + len(self.box.whole)


@dataclass(frozen=True)
class ItemFile:
    """A HEIF or AVIF file, taken apart as far as its items.

    Attributes:
        data: The whole file, or its beginning.
        boxes: Those of the file itself.
        primary: The item that is the picture.
        items: All items by their id.
        references: All of them, in their order.
        properties: The boxes in `ipco`; a property's number is its place here, from 1.
    """

    data: FileBytes
    boxes: tuple[PlacedBox, ...]
    primary: int
    items: dict[int, Item]
    references: tuple[Reference, ...]
    properties: tuple[FileBox, ...]

    @property
    def meta(self) -> PlacedBox:
        """The box that says all this."""
        return next(placed for placed in self.boxes if placed.box.type == META)

    def properties_of(self, item_id: int) -> Iterator[FileBox]:
        """The properties of an item, in their order."""
        for association in self.items[item_id].properties:
            yield self.properties[association.index - 1]

    def property_of(self, item_id: int, type: bytes) -> bytes | None:
        """The payload of an item's first property of a type."""
        for box in self.properties_of(item_id):
            if box.type == type:
                return box.payload
        return None

    def sources(self, type: bytes, target: int) -> list[int]:
        """The items that refer to another one by a reference of this type."""
        found = []
        for reference in self.references:
            if reference.type == type and target in reference.targets:
                found.append(reference.source)
        return found

    def targets(self, type: bytes, source: int) -> tuple[int, ...]:
        """The items to which one refers by references of this type, in their order."""
        for reference in self.references:
            if reference.type == type and reference.source == source:
                return reference.targets
        return ()

    def content(self, item_id: int) -> bytes:
        """An item's bytes.

        Raises:
            CutShortError: Some of them lie beyond the end of the file.
        """
        item = self.items[item_id]
        held = self.data
        if item.method == IN_META:
            held = _child(self.meta.box, b"idat").payload
        parts = []
        for extent in item.extents:
            if extent.end > len(held):
                raise CutShortError("an item lies beyond the end of the file")
            parts.append(held[extent.start : extent.end])
        return b"".join(parts)


def brands_of(data: FileBytes) -> list[bytes]:
    """What a file of boxes says that it is, the main one first; empty of any other file."""
    if data[4:8] != FILE_TYPE:
        return []
    end = min(int.from_bytes(data[:4], "big"), len(data))
    compatible = [data[at : at + 4] for at in range(16, end, 4)]
    return [data[8:12], *compatible]


def read_items(data: FileBytes) -> ItemFile:
    """What a file says of its items; its beginning is enough where `meta` lies there.

    Raises:
        CutShortError: The file ends before its `meta` box does.
        ValueError: It is damaged, or of an old form that nobody writes.
        struct.error: A box of it is too short.
    """
    boxes = tuple(_placed(data))
    for placed in boxes:
        if placed.box.type == META and not placed.box.missing:
            break
    else:
        raise CutShortError("the file ends before it says what is in it")
    meta = {box.type: box for box in meta_boxes(placed.box)}
    items = _read_item_infos(meta[b"iinf"].payload)
    _read_locations(meta[b"iloc"].payload, items)
    properties: tuple[FileBox, ...] = ()
    if b"iprp" in meta:
        parts = list(read_boxes(meta[b"iprp"].payload))
        properties = tuple(read_boxes(parts[0].payload))
        for part in parts[1:]:
            _read_associations(part.payload, items, len(properties))
    references: tuple[Reference, ...] = ()
    if b"iref" in meta:
        references = tuple(_read_references(meta[b"iref"].payload))
    primary = _read_primary(meta[b"pitm"].payload)
    if primary not in items:
        raise ValueError("the picture is no item of the file")
    return ItemFile(data, boxes, primary, items, references, properties)


def meta_boxes(meta: FileBox) -> Iterator[FileBox]:
    """The boxes in a `meta` box."""
    return read_boxes(meta.payload[_FULL_BOX:])


def _child(meta: FileBox, type: bytes) -> FileBox:
    for box in meta_boxes(meta):
        if box.type == type:
            return box
    raise ValueError(f"no box of the type {type!r}")


def _placed(data: FileBytes) -> Iterator[PlacedBox]:
    start = 0
    for box in read_boxes(data):
        yield PlacedBox(start, box)
        start += len(box.whole)


def _read_primary(payload: bytes) -> int:
    form = ">H" if payload[0] == 0 else ">I"
    (primary,) = struct.unpack_from(form, payload, _FULL_BOX)
    return int(primary)


def _read_item_infos(payload: bytes) -> dict[int, Item]:
    at = _FULL_BOX + (2 if payload[0] == 0 else 4)
    items = {}
    for box in read_boxes(payload[at:]):
        version = box.payload[0]
        if box.type != b"infe" or version < 2:
            raise ValueError("items that are described in an old form")
        form = ">HH4s" if version == 2 else ">IH4s"
        item_id, _, item_type = struct.unpack_from(form, box.payload, _FULL_BOX)
        texts = box.payload[_FULL_BOX + struct.calcsize(form) :].split(b"\0")
        content_type = b""
        if item_type == _MIME and len(texts) > 1:
            content_type = texts[1]
        is_hidden = bool(box.payload[3] & 1)
        items[item_id] = Item(item_id, item_type, content_type, is_hidden, _IN_FILE, (), ())
    return items


class _Numbers:
    """Reads big-endian numbers of any length, one after the other."""

    def __init__(self, payload: bytes, at: int) -> None:
        self._payload = payload
        self._at = at

    def take(self, size: int) -> int:
        """The next number, of so many bytes; 0 of none."""
        end = self._at + size
        if end > len(self._payload):
            raise ValueError("a box that is too short")
        number = int.from_bytes(self._payload[self._at : end], "big")
        self._at = end
        return number


def _read_locations(payload: bytes, items: dict[int, Item]) -> None:
    """Note in the items where their bytes are."""
    version = payload[0]
    offset_size, length_size = payload[4] >> 4, payload[4] & 15
    base_size, index_size = payload[5] >> 4, payload[5] & 15
    numbers = _Numbers(payload, 6)
    wide = 4 if version == 2 else 2
    for _ in range(numbers.take(wide)):
        item_id = numbers.take(wide)
        method = numbers.take(2) & 15 if version else _IN_FILE
        is_elsewhere = numbers.take(2) != 0
        base = numbers.take(base_size)
        extents = []
        count = numbers.take(2)
        if count > _MOST_EXTENTS:  # they may take no bytes at all
            raise ValueError("an item in more pieces than can be")
        for _ in range(count):
            numbers.take(index_size if version else 0)
            start = base + numbers.take(offset_size)
            extents.append(Extent(start, start + numbers.take(length_size)))
        if item_id not in items or is_elsewhere or method > IN_META:
            raise ValueError("an item that lies in another file, or in another item")
        items[item_id] = replace(items[item_id], method=method, extents=tuple(extents))


def _read_associations(payload: bytes, items: dict[int, Item], properties: int) -> None:
    """Note in the items which properties they have."""
    numbers = _Numbers(payload, _FULL_BOX)
    is_wide = bool(payload[3] & 1)
    for _ in range(numbers.take(4)):
        item_id = numbers.take(2 if payload[0] == 0 else 4)
        associations = []
        for _ in range(numbers.take(1)):
            number = numbers.take(2 if is_wide else 1)
            flag = ESSENTIAL_WIDE if is_wide else _ESSENTIAL
            association = Association(number & (flag - 1), bool(number & flag))
            if association.index > properties:
                raise ValueError("a property that is not there")
            if association.index:
                associations.append(association)
        if item_id in items:
            items[item_id] = replace(items[item_id], properties=tuple(associations))


def _read_references(payload: bytes) -> Iterator[Reference]:
    wide = 2 if payload[0] == 0 else 4
    for box in read_boxes(payload[_FULL_BOX:]):
        numbers = _Numbers(box.payload, 0)
        source = numbers.take(wide)
        targets = []
        for _ in range(numbers.take(2)):
            targets.append(numbers.take(wide))
        yield Reference(box.type, source, tuple(targets))
