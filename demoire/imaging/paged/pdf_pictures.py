"""PDF files, in which the images are the pictures that pages draw. Each has a number in its file.

The library behind reads a file by its path, and all of its cross-references. So a file that is away
has to be fetched as a whole.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from demoire.imaging.paged.paged_format import PageImage
from demoire.imaging.pdf import PdfPicture, carve, pictures_of, put_pictures


class PdfPictures:
    """The format of PDF files; see `PagedFormat`."""

    suffixes = frozenset({".pdf"})
    needs_path = True

    def images(self, file: BinaryIO) -> list[PageImage] | None:
        """The pictures; none where the pages hold no more than text and lines.

        Raises:
            ImageError: The file is encrypted, signed, damaged or a trap.
        """
        return [_image_of(picture) for picture in pictures_of(Path(file.name))]

    def read(self, file: BinaryIO, image: PageImage) -> bytes:
        """A JPEG, PNG or TIFF file with the pixels of the picture.

        Raises:
            ImageError: The picture cannot be taken out.
        """
        return carve(Path(file.name), image.key)

    def located(self, file: BinaryIO, images: Sequence[PageImage]) -> list[PageImage]:
        """The same: an update keeps the numbers of all pictures."""
        return list(images)

    def put(
        self,
        file: BinaryIO,
        out: BinaryIO,
        images: Sequence[PageImage],
        cleaned: Callable[[PageImage], bytes],
        *,
        rewrite: bool = False,
    ) -> None:
        """Copy the file, with an update behind it that has the cleaned pictures; or write it anew.

        Raises:
            ImageError: A picture cannot be put back faithfully.
        """
        by_number = {image.key: image for image in images}

        def cleaned_picture(number: int) -> bytes:
            return cleaned(by_number[number])

        put_pictures(Path(file.name), out, by_number, cleaned_picture, rewrite=rewrite)


def _image_of(picture: PdfPicture) -> PageImage:
    is_read = picture.reason is None
    return PageImage(
        page=picture.page,
        on_page=picture.on_page,
        key=picture.number,
        size=picture.size,
        megapixels=picture.megapixels if is_read else 0.0,
        reason=picture.reason,
        dpi=picture.dpi,
    )
