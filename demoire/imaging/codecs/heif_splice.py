"""A HEIF or AVIF file with other bytes for some of its items; all else keeps its bytes.

New bytes take the place of the old ones, so what lies behind them moves, and the `meta` box is
told: it gets another list of locations, and other lists of properties and references only where
these change. Nothing of the old picture stays in the file.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from demoire.imaging.codecs.heif_boxes import (
    DATA,
    IN_META,
    Association,
    Extent,
    Item,
    ItemFile,
    PlacedBox,
    Reference,
    meta_boxes,
)
from demoire.imaging.codecs.heif_meta import (
    full_box,
    written_associations,
    written_locations,
    written_references,
)
from demoire.imaging.codecs.iso_boxes import FileBox, new_box

XMP_TYPE = b"application/rdf+xml"
_LONG = 1 << 31  # bytes of a file from which offsets are written with 8 bytes
_MOST_PROPERTIES = 0x7FFF


@dataclass(frozen=True)
class NewContent:
    """What an item is to hold.

    Attributes:
        payload: Its bytes.
        configuration: A box that takes the place of its property of the same type; None where all
            properties stay.
    """

    payload: bytes
    configuration: FileBox | None = None


@dataclass(frozen=True)
class _Edit:
    """Bytes of the file that are replaced; none where something is put in."""

    start: int
    end: int
    new: bytes

    @property
    def growth(self) -> int:
        """How much longer the file gets."""
        return len(self.new) - (self.end - self.start)


def can_replace(file: ItemFile, item_id: int) -> bool:
    """Whether an item's bytes lie in a data box of the file, and are no other item's."""
    item = file.items[item_id]
    if item.method == IN_META or not item.extents:
        return False
    for extent in item.extents:
        if extent.start >= extent.end or not _is_in_data_box(file, extent):
            return False
        for other in file.items.values():
            if other.id == item_id or other.method == IN_META:
                continue
            for one in other.extents:
                if one.start < extent.end and extent.start < one.end:
                    return False
    return True


def spliced(
    file: ItemFile, changes: Mapping[int, NewContent], without: Sequence[PlacedBox] = ()
) -> bytes:
    """The file with new bytes for some items.

    Args:
        file: A whole file.
        changes: By item; `can_replace` holds of each.
        without: Boxes of the file to be left out.

    Raises:
        ValueError: An item cannot be replaced.
    """
    model = _Model(file)
    edits = []
    for item_id, change in changes.items():
        if not can_replace(file, item_id):
            raise ValueError("an item whose bytes cannot be replaced")
        first, *others = file.items[item_id].extents
        edits.append(_Edit(first.start, first.end, change.payload))
        edits.extend(_Edit(extent.start, extent.end, b"") for extent in others)
        model.set_length(item_id, len(change.payload))
        if change.configuration is not None:
            model.configure(item_id, change.configuration)
    edits.extend(_Edit(placed.start, placed.end, b"") for placed in without)
    return _written(file, model, edits)


def with_new_xmp(file: ItemFile, packet: bytes) -> bytes:
    """The file with an XMP packet, of which it has none, behind the bytes of its picture.

    Raises:
        ValueError: There is no place for it.
    """
    model = _Model(file)
    # The picture may be put together from others: their bytes are then where the data are.
    beside = [file.primary, *file.targets(b"dimg", file.primary)]
    for item_id in beside:
        if can_replace(file, item_id):
            at = file.items[item_id].extents[-1].end
            model.add_xmp(at, len(packet))
            return _written(file, model, [_Edit(at, at, packet)])
    raise ValueError("no data box beside the picture")


def without_properties(file: ItemFile, types: Iterable[bytes]) -> bytes:
    """The file with a picture that has none of these properties, such as how it is to be turned."""
    dropped = frozenset(types)
    model = _Model(file)
    item = file.items[file.primary]
    kept = []
    for association in item.properties:
        if file.properties[association.index - 1].type not in dropped:
            kept.append(association)
    if len(kept) == len(item.properties):
        return bytes(file.data)
    model.items[item.id] = replace(item, properties=tuple(kept))
    model.has_new_associations = True
    return _written(file, model, [])


class _Model:
    """What the new `meta` box is to say."""

    def __init__(self, file: ItemFile) -> None:
        self.file = file
        self.items: dict[int, Item] = dict(file.items)
        self.properties: list[FileBox] = list(file.properties)
        self.references: list[Reference] = list(file.references)
        self.lengths: dict[int, int] = {}  # of items that get new bytes
        self.has_new_associations = False
        self.new_info = b""  # of an item that is added
        self.added: int | None = None

    def set_length(self, item_id: int, length: int) -> None:
        """An item has so many bytes, from where its first extent begins."""
        self.lengths[item_id] = length

    def configure(self, item_id: int, configuration: FileBox) -> None:
        """Give an item another configuration; other items that share the old one keep it."""
        item = self.items[item_id]
        associations = []
        for association in item.properties:
            old = self.properties[association.index - 1]
            if old.type == configuration.type and old.payload != configuration.payload:
                index = self._index_of(configuration)
                association = Association(index, association.is_essential)
                self.has_new_associations = True
            associations.append(association)
        self.items[item_id] = replace(item, properties=tuple(associations))

    def _index_of(self, wanted: FileBox) -> int:
        for index, box in enumerate(self.properties, start=1):
            if box.whole == wanted.whole:
                return index
        if len(self.properties) == _MOST_PROPERTIES:
            raise ValueError("no room for one more property")
        self.properties.append(wanted)
        return len(self.properties)

    def add_xmp(self, start: int, length: int) -> None:
        """Add an item of XMP that describes the picture; its bytes begin at an old offset."""
        item_id = max(self.items) + 1
        extents = (Extent(start, start + length),)
        self.items[item_id] = Item(item_id, b"mime", XMP_TYPE, False, 0, extents, ())
        self.references.append(Reference(b"cdsc", item_id, (self.file.primary,)))
        version, form = (2, ">HH4s") if item_id <= 0xFFFF else (3, ">IH4s")
        content = struct.pack(form, item_id, 0, b"mime") + b"XMP\0" + XMP_TYPE + b"\0"
        self.new_info = full_box(b"infe", version, 0, content)
        self.added = item_id

    def meta(self, offsets: "_Offsets", *, is_long: bool) -> bytes:
        """The whole `meta` box."""
        located = []
        for item in self.items.values():
            located.append(self._located(item, offsets))
        meta = self.file.meta.box
        written = []
        has_references = False
        for box in meta_boxes(meta):
            whole = box.whole
            if box.type == b"iloc":
                whole = written_locations(located, is_long=is_long)
            elif box.type == b"iinf":
                whole = self._infos(box)
            elif box.type == b"iprp":
                whole = self._all_properties(box)
            elif box.type == b"iref":
                has_references = True
                if self.added is not None:
                    whole = written_references(self.references)
            written.append(whole)
        if self.added is not None and not has_references:
            written.append(written_references(self.references))
        payload = meta.payload[:4] + b"".join(written)
        return meta.with_payload(payload).whole

    def _located(self, item: Item, offsets: "_Offsets") -> Item:
        if item.method == IN_META:
            return item
        if item.id == self.added:
            start = offsets.of_insertion(item.extents[0].start)
            return replace(item, extents=(_moved(item.extents[0], start),))
        length = self.lengths.get(item.id)
        if length is not None:
            start = offsets.of(item.extents[0].start)
            return replace(item, extents=(Extent(start, start + length),))
        extents = []
        for extent in item.extents:
            extents.append(_moved(extent, offsets.of(extent.start)))
        return replace(item, extents=tuple(extents))

    def _infos(self, box: FileBox) -> bytes:
        if not self.new_info:
            return box.whole
        size = 2 if box.payload[0] == 0 else 4
        count = int.from_bytes(box.payload[4 : 4 + size], "big") + 1
        payload = box.payload[:4] + count.to_bytes(size, "big") + box.payload[4 + size :]
        return box.with_payload(payload + self.new_info).whole

    def _all_properties(self, box: FileBox) -> bytes:
        if not self.has_new_associations:
            return box.whole
        whole = b"".join(property.whole for property in self.properties)
        container = new_box(b"ipco", whole).whole
        return box.with_payload(container + written_associations(list(self.items.values()))).whole


def _moved(extent: Extent, start: int) -> Extent:
    return Extent(start, start + extent.end - extent.start)


class _Offsets:
    """Where bytes of the old file are in the new one."""

    def __init__(self, edits: Sequence[_Edit]) -> None:
        self._edits = edits

    def of(self, offset: int) -> int:
        """Of a byte that stays, or of the first one of those that are replaced."""
        return offset + sum(edit.growth for edit in self._edits if edit.end <= offset)

    def of_insertion(self, offset: int) -> int:
        """Of what is put in before this byte."""
        before = [edit for edit in self._edits if edit.end <= offset and edit.start < offset]
        return offset + sum(edit.growth for edit in before)


def _written(file: ItemFile, model: _Model, edits: list[_Edit]) -> bytes:
    growth = sum(edit.growth for edit in edits)
    is_long = len(file.data) + growth >= _LONG
    edits = [*edits, *_new_lengths(file, edits)]
    meta = file.meta
    # Its length does not depend on the offsets in it, but they depend on its length.
    draft = model.meta(_Offsets([]), is_long=is_long)
    placed = [*edits, _Edit(meta.start, meta.end, draft)]
    final = model.meta(_Offsets(placed), is_long=is_long)
    written = []
    at = 0
    for edit in sorted([*edits, _Edit(meta.start, meta.end, final)], key=lambda one: one.start):
        written.append(file.data[at : edit.start])
        written.append(edit.new)
        at = edit.end
    return b"".join([*written, file.data[at:]])


def _new_lengths(file: ItemFile, edits: Sequence[_Edit]) -> list[_Edit]:
    """The lengths of the data boxes in which something changes."""
    lengths = []
    for placed in file.boxes:
        if placed.box.type != DATA:
            continue
        inside = [edit for edit in edits if placed.start < edit.start <= edit.end <= placed.end]
        growth = sum(edit.growth for edit in inside)
        header = placed.box.header
        (short,) = struct.unpack_from(">I", header)
        length = len(placed.box.whole) + growth
        if growth and short == 1:
            at = placed.start + 8
            lengths.append(_Edit(at, at + 8, struct.pack(">Q", length)))
        elif growth and short:
            lengths.append(_Edit(placed.start, placed.start + 4, struct.pack(">I", length)))
    return lengths


def _is_in_data_box(file: ItemFile, extent: Extent) -> bool:
    """Whether an extent lies in a data box of the file."""
    for placed in file.boxes:
        start = placed.start + len(placed.box.header)
        if placed.box.type == DATA and start <= extent.start and extent.end <= placed.end:
            return True
    return False
