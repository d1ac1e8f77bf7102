"""Files of several pages among the images at hand, such as TIFF files of many pages.

Each image inside is cleaned as a file of its own. The cleaned ones wait on disk until all are done,
so memory does not grow with the number of pages.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from demoire.cleaning.result import Cleaned, ImageStatus
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, kept, write_file
from demoire.imaging.paged import paged_format
from demoire.imaging.paged.paged_format import PagedFormat, PageImage
from demoire.reasons import Reason
from demoire.temporary_files import new_temporary_folder

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner


@dataclass(frozen=True)
class PagedFile:
    """A file whose images are cleaned one by one.

    Attributes:
        path: Where it is.
        format: Its format.
        images: Those inside.
    """

    path: Path
    format: PagedFormat
    images: tuple[PageImage, ...]

    def path_of(self, image: PageImage) -> Path:
        """What an image is called, such as 'scan.tif!/page-0003'."""
        return Path(f"{self.path}!/{image.name}")

    def read(self, image: PageImage) -> FileBytes:
        """One of the images as a file of its own.

        Raises:
            ImageError: It is left as it is, or cannot be had.
        """
        if image.reason is not None:
            raise ImageError(image.reason, f"It is left as it is: {image.reason.meaning}.")
        with self.path.open("rb") as file:
            return kept(self.format.read(file, image))


def paged_file(path: Path) -> PagedFile | None:
    """The images in a file of several pages; None where the file is one image.

    Raises:
        ImageError: The file as a whole is left as it is.
        OSError: It cannot be read.
    """
    format = paged_format(path.suffix.lower())
    if format is None:
        return None
    with path.open("rb") as file:
        images = format.images(file)
    return None if images is None else PagedFile(path, format, tuple(images))


def untouched(data: FileBytes, reason: Reason) -> Cleaned:
    """The result for an image that is left as it is without a look at its pixels."""
    status = cast(ImageStatus, reason.status)
    return Cleaned(data, status, reason, None, None, None, None, 0, 0, None, None, None, {})


class PagesInWork:
    """The images of one file on their way through the cleaner.

    Used as a context, which keeps the cleaned ones in a temporary folder.
    """

    def __init__(self, file: PagedFile, *, rewrite: bool = False) -> None:
        """Nothing is read yet.

        Args:
            file: The file.
            rewrite: Whether a format that otherwise keeps what it replaces leaves it out.
        """
        self._file = file
        self._rewrite = rewrite
        self._temporary = ExitStack()
        self._folder = self._temporary.enter_context(new_temporary_folder())
        self._cleaned: dict[PageImage, Path] = {}
        self._left: list[tuple[PageImage, Cleaned]] = []

    def __enter__(self) -> "PagesInWork":
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was kept."""
        self._temporary.close()

    def clean(self, cleaner: "Cleaner") -> Iterator[tuple[PageImage, Cleaned]]:
        """Clean all images.

        Yields:
            Each with its result: those that are cleaned in order of completion, then the others.
        """
        wants_grey = cleaner.config.bilevel == "grey"
        for image, cleaned in cleaner.clean_many(self._readable(wants_grey=wants_grey)):
            if image.reason is not None:
                yield image, replace(untouched(b"", image.reason), grey=cleaned.grey)
                continue
            if cleaned.status == "cleaned":
                waiting = self._folder / image.name
                write_file(waiting, cleaned.data)
                self._cleaned[image] = waiting
            yield image, cleaned
        yield from self._left

    def write(self, target: Path) -> None:
        """Write the file with its cleaned images; as it is if there are none.

        Raises:
            ImageError: They cannot be put in; then the file is written as it is.
        """
        images = sorted(self._cleaned, key=lambda image: (image.page, image.on_page))
        if not images:
            shutil.copyfile(self._file.path, target)
            return
        try:
            with self._file.path.open("rb") as file, target.open("w+b") as out:
                self._file.format.put(file, out, images, self._read_cleaned, rewrite=self._rewrite)
        except ImageError:
            shutil.copyfile(self._file.path, target)
            raise

    def _readable(self, *, wants_grey: bool) -> Iterator[tuple[PageImage, FileBytes]]:
        for image in self._file.images:
            if image.reason is not None and not (wants_grey and image.reason is Reason.BILEVEL):
                self._left.append((image, untouched(b"", image.reason)))
                continue
            try:
                data = self._file.read(replace(image, reason=None))
            except ImageError as error:
                left = untouched(b"", image.reason or error.reason)
                if image.reason is not None:
                    left = replace(left, grey=error)  # why it has no grey picture
                self._left.append((image, left))
                continue
            yield image, data

    def _read_cleaned(self, image: PageImage) -> bytes:
        return self._cleaned[image].read_bytes()
