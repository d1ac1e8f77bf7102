"""What a format of files of several pages can do, and what is known of an image in such a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from demoire.reasons import Reason


@dataclass(frozen=True)
class PageImage:
    """One image in a file of several pages.

    Attributes:
        page: The number of its page, from 1.
        on_page: Which picture on that page, from 1; 0 where the page is the image.
        key: How its format finds it again.
        size: Bytes that it takes in the file.
        megapixels: MP; 0 where `reason` says that it is not cleaned.
        reason: Why it stays as it is without being read; None as a rule.
        inner_name: Its name in the file, where that is not made of the page.
        dpi: Pixels an inch as the page shows it, where the page says so rather than the image.
    """

    page: int
    on_page: int
    key: int
    size: int
    megapixels: float
    reason: Reason | None = None
    inner_name: str = ""
    dpi: float | None = None

    @property
    def name(self) -> str:
        """'page-0003', or 'page-0003-2' for the second picture on that page; or the inner name."""
        if self.inner_name:
            return self.inner_name
        page = f"page-{self.page:04}"
        return page if self.on_page <= 1 else f"{page}-{self.on_page}"


class PagedFormat(Protocol):
    """A format of files of several pages."""

    @property
    def suffixes(self) -> frozenset[str]:
        """How the names of such files end."""

    @property
    def needs_path(self) -> bool:
        """Whether a file has to lie on this machine, and `file.name` has to be its path.

        Otherwise any seekable file will do, and only parts of it are read.
        """

    def images(self, file: BinaryIO) -> list[PageImage] | None:
        """The images in a file, by page.

        Returns:
            None where the file is one image, or is not taken apart.

        Raises:
            ImageError: The file as a whole is left as it is.
        """

    def read(self, file: BinaryIO, image: PageImage) -> bytes:
        """One of the images as a file of its own.

        Raises:
            ImageError: It cannot be had.
        """

    def located(self, file: BinaryIO, images: Sequence[PageImage]) -> list[PageImage]:
        """Images of a file in another state of it, in which their keys may be others.

        Raises:
            ImageError: It does not have them.
        """

    def put(
        self,
        file: BinaryIO,
        out: BinaryIO,
        images: Sequence[PageImage],
        cleaned: Callable[[PageImage], bytes],
        *,
        rewrite: bool = False,
    ) -> None:
        """Write a file anew with cleaned images.

        Args:
            file: As it was.
            out: An empty local file, open for reading and writing. After an error it is of no use.
            images: Those that were cleaned, by page.
            cleaned: The cleaned file of one of them.
            rewrite: Whether a format that otherwise keeps what it replaces leaves it out.

        Raises:
            ImageError: They cannot be put in.
        """
