"""HEIC and AVIF: the picture is coded anew in the coding that it had, all else keeps its bytes.

Of a picture that is put together from tiles (as phones write it) only the tiles that changed are
coded anew. Alpha, ICC profile, orientation, XMP and the rest of Exif stay as the bytes they were;
thumbnails are made anew. A gain map or depth image shows the old pixels and cannot be made anew,
so such a file is copied, and so are sequences and what the encoders cannot write.

References:
    ISO/IEC 23008-12 (HEIF), A.2.1 for Exif.
"""

import numpy as np

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.heif_boxes import META, SEQUENCE, ItemFile, brands_of, read_items
from demoire.imaging.codecs.heif_coders import AV1, GREY, HEVC, Coder, Coding, coded_like
from demoire.imaging.codecs.heif_picture import (
    HeifHeader,
    auxiliaries,
    coding_of,
    colours_of,
    count_pages,
    crop_of,
    obstacle_of,
    profile_of,
    size_of,
    tiles_of,
)
from demoire.imaging.codecs.heif_splice import (
    XMP_TYPE,
    NewContent,
    can_replace,
    spliced,
    with_new_xmp,
)
from demoire.imaging.codecs.iso_boxes import read_boxes
from demoire.imaging.codecs.pillow import profile_name
from demoire.imaging.codecs.raster import (
    CutShortError,
    Pixels,
    Raster,
    from_full_range,
    to_full_range,
)
from demoire.imaging.codecs.stated_colours import stated_profile
from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.exif import with_new_thumbnail
from demoire.imaging.derived.thumbnail import Thumbnailer
from demoire.imaging.facts import Format, ImageFacts
from demoire.reasons import Reason

_EXIF = b"Exif"
_SHAPE_LOSS = 0.03  # of a side of a thumbnail
_AVIF_BRAND = b"avif"
_HEIC_BRAND = b"heic"
_ANY_HEIF = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})


class HeifCodec:
    """One of the two formats; see `demoire.imaging.codecs.base.Codec`."""

    def __init__(
        self, format: Format, suffixes: frozenset[str], brands: frozenset[bytes], coder: Coder
    ) -> None:
        """Name the format.

        Args:
            format: Its name.
            suffixes: Of file names.
            brands: Of which one is the first of such a file.
            coder: Of its pictures.
        """
        self.FORMAT: Format = format
        self.SUFFIXES = suffixes
        self._brands = brands
        self._coder = coder

    def recognises(self, data: FileBytes) -> bool:
        """See `Codec`."""
        brands = brands_of(data)
        if brands and brands[0] in _ANY_HEIF:  # says no more than that there are items
            brands = [_AVIF_BRAND if _AVIF_BRAND in brands else _HEIC_BRAND]
        return bool(brands) and brands[0] in self._brands

    def read_header(self, data: FileBytes) -> HeifHeader:
        """The header, from the boxes alone.

        Raises:
            ImageError: `unsupported_format`, as the extra is missing; or `animated`, as the file
                is a sequence without a picture.
        """
        if not self._coder.is_there():
            raise ImageError(
                Reason.UNSUPPORTED_FORMAT,
                f"The image is {self.FORMAT}, which needs `pip install 'demoire[heif]'`; "
                "it is copied as it is.",
            )
        types = [box.type for box in read_boxes(data)]
        if SEQUENCE in types and META not in types:
            raise ImageError(
                Reason.ANIMATED, "The image is a moving picture; it is copied as it is."
            )
        file = read_items(data)
        coding = coding_of(file, self._coder)
        width, height = size_of(file, file.primary)
        profile = profile_of(file)
        mode = "L" if coding is not None and coding.chroma == GREY else "RGB"
        if auxiliaries(file):
            mode += "A"
        facts = ImageFacts(
            format=self.FORMAT,
            width=width,
            height=height,
            mode=mode,
            bits=8 if coding is None else coding.bits,
            dpi=None,
            icc=profile_name(profile),
            pages=count_pages(file),
        )
        if profile is None:
            primaries, transfer, _ = colours_of(file, file.primary)
            profile = stated_profile(primaries, transfer)
        return HeifHeader(facts, profile, file, coding)

    def is_cut_short(self, data: FileBytes) -> bool:
        """Whether the bytes of an item, or a box, lie beyond the end of the file."""
        try:
            file = read_items(data)
            for item_id in file.items:
                file.content(item_id)
        except CutShortError:
            return True
        return any(placed.box.missing for placed in file.boxes)

    def is_risky(self, data: FileBytes) -> bool:
        """Always: crafted files have broken the decoders before."""
        return True

    def decode(self, data: FileBytes, header: HeifHeader) -> Raster:
        """Grey or RGB pixels with their alpha; 10 and 12 bits over the full range of 16.

        Raises:
            ImageError: The reason for which it is copied, where it cannot even be looked at.
        """
        obstacle = obstacle_of(header, self._coder)
        if obstacle is not None and obstacle is not Reason.SIGNED:
            return _to_look_at(data, self._coder, obstacle)
        samples = self._coder.decode(data)
        samples = np.atleast_3d(samples)
        colours = 1 if header.facts.mode.startswith("L") else 3
        pixels = np.ascontiguousarray(samples[:, :, :colours])
        alpha = None
        if header.facts.mode.endswith("A") and samples.shape[2] in (2, 4):
            alpha = np.ascontiguousarray(samples[:, :, -1])
        if header.facts.bits == 8:
            return Raster(pixels, alpha, obstacle)
        bits = header.facts.bits
        if alpha is not None:
            alpha = to_full_range(alpha, bits)
        return Raster(to_full_range(pixels, bits), alpha, obstacle)

    def encode(self, data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
        """The file with the changed tiles and all thumbnails replaced.

        Raises:
            StaleDataError: It holds a thumbnail that cannot be made anew.
        """
        file = read_items(data)
        coding = coding_of(file, self._coder)
        if coding is None:
            raise ValueError("a picture of a kind that is not written")
        changes = _changed_tiles(self._coder, file, coding, raster.pixels, pixels)
        thumbnailer = Thumbnailer(pixels)
        for item_id in file.sources(b"thmb", file.primary):
            changes[item_id] = _new_thumbnail(self._coder, file, item_id, thumbnailer)
        changes.update(_changed_exif(file, thumbnailer))
        manifests = [placed for placed in file.boxes if placed.box.is_manifest]
        return spliced(file, changes, manifests)

    def with_xmp(self, data: FileBytes, edit: EditXmp) -> FileBytes:
        """The file with another XMP packet, an item behind the picture if it is a new one."""
        file = read_items(data)
        described = frozenset(file.sources(b"cdsc", file.primary))
        for item in file.items.values():
            if item.content_type == XMP_TYPE and item.id in described:
                packet = edit(file.content(item.id))
                return data if packet is None else spliced(file, {item.id: NewContent(packet)})
        packet = edit(None)
        return data if packet is None else with_new_xmp(file, packet)


_AVIF_BRANDS = frozenset({_AVIF_BRAND, b"avis"})
_HEIC_BRANDS = frozenset({_HEIC_BRAND, b"heix", b"heim", b"heis", b"hevc", b"hevx"})
AVIF = HeifCodec("AVIF", frozenset({".avif"}), _AVIF_BRANDS, AV1)
HEIC = HeifCodec("HEIC", frozenset({".heic", ".heif", ".hif"}), _HEIC_BRANDS, HEVC)


def _to_look_at(data: FileBytes, coder: Coder, obstacle: Reason) -> Raster:
    try:
        samples = np.atleast_3d(coder.look_at(data))
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(
            obstacle, "The image is of a kind that is not cleaned; it is copied as it is."
        ) from error
    colours = 1 if samples.shape[2] < 3 else 3
    return Raster(np.ascontiguousarray(samples[:, :, :colours]), None, obstacle)


def _changed_tiles(
    coder: Coder, file: ItemFile, coding: Coding, old: Pixels, new: Pixels
) -> dict[int, NewContent]:
    changed = (old != new).any(axis=2)
    changes = {}
    for tile in tiles_of(file):
        rows = slice(tile.top, tile.top + tile.height)
        columns = slice(tile.left, tile.left + tile.width)
        if not changed[rows, columns].any():
            continue
        samples = new[rows, columns]
        # The last tiles of a row or column reach beyond the picture.
        below = tile.height - samples.shape[0]
        beside = tile.width - samples.shape[1]
        samples = np.pad(samples, ((0, below), (0, beside), (0, 0)), mode="edge")
        if coding.bits > 8:
            samples = from_full_range(samples, coding.bits)
        old_bytes = len(file.content(tile.item_id))
        changes[tile.item_id] = coded_like(coder, samples, coding, old_bytes)
    return changes


def _new_thumbnail(
    coder: Coder, file: ItemFile, item_id: int, thumbnailer: Thumbnailer
) -> NewContent:
    item = file.items[item_id]
    old = file.content(item_id)
    if not can_replace(file, item_id):
        raise StaleDataError("a thumbnail that cannot be replaced")
    if item.type == b"jpeg":
        return NewContent(thumbnailer.jpeg_like(old))
    configuration = file.property_of(item_id, coder.configuration_type)
    if item.type != coder.item_type or configuration is None:
        raise StaleDataError("a thumbnail in another coding")
    bits, chroma = coder.bits_and_chroma(configuration)
    if bits != 8:
        raise StaleDataError(f"a thumbnail of {bits} bits")
    small = _thumbnail_samples(file, item_id, thumbnailer, is_grey=chroma == GREY)
    primaries, transfer, matrix = colours_of(file, item_id)
    coding = Coding(bits, chroma, primaries, transfer, matrix)
    return coded_like(coder, small, coding, len(old))


def _thumbnail_samples(
    file: ItemFile, item_id: int, thumbnailer: Thumbnailer, *, is_grey: bool
) -> Pixels:
    """A thumbnail in the size of the old one, (H, W, 1 or 3); the edge repeated beyond its crop."""
    width, height = size_of(file, item_id)
    left, top, seen_width, seen_height = crop_of(file, item_id)
    full_width, full_height = size_of(file, file.primary)
    scale = full_width / seen_width
    if abs(full_height / scale - seen_height) > _SHAPE_LOSS * seen_height + 1:
        raise StaleDataError("a thumbnail of another shape than the picture's")
    image = thumbnailer.image(seen_width, seen_height).convert("L" if is_grey else "RGB")
    below = height - top - seen_height
    beside = width - left - seen_width
    return np.pad(
        np.atleast_3d(np.asarray(image)), ((top, below), (left, beside), (0, 0)), mode="edge"
    )


def _changed_exif(file: ItemFile, thumbnailer: Thumbnailer) -> dict[int, NewContent]:
    """Exif with a new thumbnail, by item: 4 bytes say how much stands before the TIFF header."""
    changes = {}
    for item_id in file.sources(b"cdsc", file.primary):
        if file.items[item_id].type != _EXIF:
            continue
        content = file.content(item_id)
        start = 4 + int.from_bytes(content[:4], "big")
        renewed = content[:start] + with_new_thumbnail(content[start:], thumbnailer)
        if renewed != content:
            changes[item_id] = NewContent(renewed)
    return changes
