"""Small previews that a PDF holds of its pages (/Thumb), made anew. Runs in the child.

A page's thumbnail is made from its cleaned picture where it shows nothing else: the page draws that
picture alone, and the old picture, made as small, looks like the old thumbnail. So a page that is
turned, cropped or written on keeps out by itself. Size, colour space and filter stay. All others
are left out of pages that have changed; readers draw their own.

References:
    ISO 32000-1:2008, 12.3.4 (thumbnail images).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pikepdf
from numpy.typing import NDArray

from demoire.errors import ImageError
from demoire.imaging.derived import StaleDataError
from demoire.imaging.pdf.drawn import DrawnPicture, ObjectId
from demoire.imaging.pdf.encryption import Encryption
from demoire.imaging.pdf.obstacles import obstacle_of_coding
from demoire.imaging.pdf.requests import RenewedObject
from demoire.imaging.pdf.streams import carved, renewed_object

# Mean difference, of 255, between a thumbnail and its picture made as small by other means.
_SAME = 10


@dataclass(frozen=True)
class _PageWithThumbnail:
    """A page, and what it draws."""

    page: Any
    drawn: frozenset[ObjectId]  # all pictures on it

    @property
    def thumbnail_id(self) -> ObjectId:
        number, generation = self.page["/Thumb"].objgen
        return number, generation


class Thumbnails:
    """The thumbnails in a file."""

    def __init__(self) -> None:
        """None so far."""
        self._pages: list[_PageWithThumbnail] = []

    def add(self, page: pikepdf.Page, drawings: Sequence[DrawnPicture]) -> None:
        """Note a page with all that it draws, where it has a thumbnail."""
        if "/Thumb" in page.obj:
            drawn = frozenset(drawing.object_id for drawing in drawings)
            self._pages.append(_PageWithThumbnail(page.obj, drawn))

    def renewed(
        self, stream: Any, cleaned: bytes, encryption: Encryption | None
    ) -> list[RenewedObject]:
        """Thumbnails that show a picture and nothing else, with the picture as it is now.

        Args:
            stream: The picture as it was.
            cleaned: The cleaned file.
            encryption: How the file encrypts objects; None where it does not.
        """
        thumbnails = self._showing_only(stream.objgen)
        if not thumbnails:
            return []
        # Only now: all codecs are too much for the many files without thumbnails.
        from demoire.imaging.images import decode

        try:
            before = decode(carved(stream)).pixels
            after = decode(cleaned).pixels
        except ImageError:
            return []
        renewed = []
        for thumbnail in thumbnails:
            try:
                small = _small_file(thumbnail, before, after)
                if small is not None:
                    renewed.append(renewed_object(thumbnail, small, encryption))
            except (ImageError, StaleDataError, ValueError):
                continue
        return renewed

    def left_out(
        self,
        changed: frozenset[ObjectId],
        renewed: frozenset[ObjectId],
        encryption: Encryption | None,
    ) -> list[RenewedObject]:
        """Pages without their thumbnails.

        Args:
            changed: The pictures that are changed.
            renewed: The thumbnails that were made anew.
            encryption: How the file encrypts objects; None where it does not.
        """
        pages: dict[ObjectId, RenewedObject] = {}
        for one in self._pages:
            if not one.drawn & changed or one.thumbnail_id in renewed:
                continue
            number, generation = one.page.objgen
            entries = pikepdf.Dictionary(one.page)
            del entries["/Thumb"]
            if encryption is not None:
                entries = encryption.with_strings(entries, (number, generation))
            without = RenewedObject(number, generation, entries.unparse(), None)
            pages[number, generation] = without
        return list(pages.values())

    def _showing_only(self, picture: ObjectId) -> list[Any]:
        """The thumbnails of pages that draw this picture alone."""
        thumbnails: dict[ObjectId, Any] = {}
        showing_more: set[ObjectId] = set()
        for one in self._pages:
            if one.drawn != {picture}:
                showing_more.add(one.thumbnail_id)
            else:
                thumbnails[one.thumbnail_id] = one.page["/Thumb"]
        return [thumbnails[one] for one in thumbnails if one not in showing_more]


def _small_file(thumbnail: Any, before: NDArray[Any], after: NDArray[Any]) -> bytes | None:
    """A thumbnail's carved file with another picture; None where it does not show this one.

    Args:
        thumbnail: Its stream.
        before: (H, W, C) uint8 or uint16, the picture as it was.
        after: The picture as it is.
    """
    from demoire.imaging.derived.thumbnail import Thumbnailer
    from demoire.imaging.images import decode, encode

    if not isinstance(thumbnail, pikepdf.Stream) or obstacle_of_coding(thumbnail) is not None:
        return None
    old = decode(carved(thumbnail))
    height, width, channels = old.pixels.shape
    mode = "L" if channels == 1 else "RGB"

    def made_from(pixels: NDArray[Any]) -> NDArray[np.uint8]:
        small = Thumbnailer(pixels).image(width, height).convert(mode)
        return np.asarray(small).reshape(old.pixels.shape)

    difference = np.abs(made_from(before).astype(np.int16) - old.pixels)
    if old.pixels.dtype != np.uint8 or difference.mean() > _SAME:
        return None
    return bytes(encode(old, made_from(after)))
