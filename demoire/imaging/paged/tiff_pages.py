"""TIFF files of several pages. A page is found by the offset of its directory.

Parts of the file are read, never all of it: a page costs its own bytes.
"""

import shutil
from collections.abc import Callable, Sequence
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.imaging.codecs import tiff
from demoire.imaging.codecs.tiff_pages import carve, pages_of
from demoire.imaging.codecs.tiff_patch import PageRefusedError
from demoire.imaging.codecs.tiff_reader import DamagedPagesError
from demoire.imaging.codecs.tiff_splice import put_pages
from demoire.imaging.paged.paged_format import PageImage
from demoire.reasons import Reason

_COPIED_AT_ONCE = 1 << 20  # bytes


class TiffPages:
    """The format of TIFF files; see `PagedFormat`."""

    suffixes = tiff.SUFFIXES
    needs_path = False

    def images(self, file: BinaryIO) -> list[PageImage] | None:
        """The pages; None where there is only one, or the chain of pages is not sound."""
        images = []
        for number, page in enumerate(pages_of(file), start=1):
            images.append(PageImage(number, 0, page.offset, page.size, page.megapixels))
        return images or None

    def read(self, file: BinaryIO, image: PageImage) -> bytes:
        """A TIFF file of one page.

        Raises:
            ImageError: `unreadable`.
        """
        try:
            return carve(file, image.key)
        except DamagedPagesError as damage:
            raise ImageError(
                Reason.UNREADABLE, f"Page {image.page} cannot be read out of its file: {damage}."
            ) from damage

    def located(self, file: BinaryIO, images: Sequence[PageImage]) -> list[PageImage]:
        """The pages with the same numbers: a directory that had to grow has moved.

        Raises:
            ImageError: `unreadable`.
        """
        by_number = {image.page: image for image in self.images(file) or ()}
        found = []
        for image in images:
            if image.page not in by_number:
                raise ImageError(Reason.UNREADABLE, f"Page {image.page} is not in its file.")
            found.append(by_number[image.page])
        return found

    def put(
        self,
        file: BinaryIO,
        out: BinaryIO,
        images: Sequence[PageImage],
        cleaned: Callable[[PageImage], bytes],
        *,
        rewrite: bool = False,
    ) -> None:
        """Copy the file and splice the pages into the copy; see `tiff_splice`.

        Raises:
            ImageError: `encode_failed`.
        """
        by_number = {image.page: image for image in images}
        file.seek(0)
        shutil.copyfileobj(file, out, _COPIED_AT_ONCE)
        out.flush()
        try:
            put_pages(out, by_number, lambda number: cleaned(by_number[number]))
        except PageRefusedError as error:
            raise ImageError(
                Reason.ENCODE_FAILED, f"A cleaned page cannot be put back into its file: {error}."
            ) from error
