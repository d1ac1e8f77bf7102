"""Files of several pages among a folder's loose files: each image inside is one of its own.

The name of such an image is that of its file, '!/', and 'page-' with the number of its page from 1
in four digits or more: 'scan.tif!/page-0003'; where a page holds several pictures, 'page-0003-2' is
the second one. Each is read as a file of its own, which is cleaned like any other; publishing puts
it back into a copy of the whole file. What formats there are is in `demoire.imaging.paged`.

A folder's file of several pages is `other`: it is mirrored, once, and its images have the rows. One
that is refused as a whole (signed, damaged ...) is an image that is not read, with the reason.

Costs: of each TIFF file the header and the first directory, of one of several pages all
directories. Reading a page reads its bytes alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.imaging.paged import PAGED_SUFFIXES, paged_format
from demoire.imaging.paged.paged_format import PagedFormat, PageImage
from pipelines.records import Member
from pipelines.sources.inner_positions import (
    SEPARATOR,
    file_name_of,
    page_at,
    page_position,
    position_inside,
)
from pipelines.sources.members import suffix_of
from pipelines.storage.place import Place

_LOOKED_AT_ONCE = 8  # files; each mostly waits for storage


@dataclass(frozen=True)
class _TakenApart:
    """A folder's file after a look inside."""

    file: Member
    images: tuple[Member, ...] = ()


def take_apart(folder: Place, members: list[Member]) -> tuple[list[Member], list[Member]]:
    """Look for files of several pages among a folder's files.

    Returns:
        The files, those of several pages as `other`; and all images inside these.
    """
    candidates = []
    for member in members:
        if member.kind == "image" and member.length and suffix_of(member.name) in PAGED_SUFFIXES:
            candidates.append(member)
    if not candidates:
        return members, []

    def look(member: Member) -> _TakenApart:
        return _look_inside(folder, member)

    files = {member.position: member for member in members}
    images: list[Member] = []
    with ThreadPoolExecutor(_LOOKED_AT_ONCE, thread_name_prefix="pages") as pool:
        for taken_apart in pool.map(look, candidates):
            files[taken_apart.file.position] = taken_apart.file
            images.extend(taken_apart.images)
    return list(files.values()), images


def _look_inside(folder: Place, member: Member) -> _TakenApart:
    form = _format_of(member.name)
    try:
        with _opened(folder, member.name, member.version, form) as file:
            images = form.images(file)
    except ImageError as error:
        return _TakenApart(replace(member, reason=error.reason.value))
    if images is None:
        return _TakenApart(member)
    inside = tuple(_member_of(image, member) for image in images)
    return _TakenApart(replace(member, kind="other"), inside)


def _member_of(image: PageImage, file: Member) -> Member:
    return replace(
        file,
        position=position_inside(file.position, page_position(image.page, image.on_page)),
        name=f"{file.name}{SEPARATOR}{image.name}",
        offset=image.key,
        length=image.size,
        size=image.size,
        megapixels=image.megapixels,
        reason=image.reason.value if image.reason is not None else "",
    )


def _image_of(member: Member) -> PageImage:
    at = page_at(member.position)
    return PageImage(at.page, at.on_page, member.offset, member.size, member.megapixels)


def _format_of(name: str) -> PagedFormat:
    form = paged_format(suffix_of(name))
    if form is None:
        raise ValueError(f"{name} is no file of several pages")
    return form


@contextmanager
def _opened(place: Place, path: str, version: str | None, form: PagedFormat) -> Iterator[BinaryIO]:
    """Open a file of several pages.

    Raises:
        SourceChangedError: It is no longer of this version.
    """
    with place.open(path, version=version) as file:
        yield file


class PageReader:
    """Reads images out of a folder's files; the file of the last one stays open for the next.

    Args:
        folder: Where the files are.
        check_version: Whether a file has to be of the version that was planned.
    """

    def __init__(self, folder: Place, *, check_version: bool) -> None:
        self._folder = folder
        self._check_version = check_version
        self._name: str | None = None
        self._file: BinaryIO | None = None
        self._opened = ExitStack()

    def read(self, member: Member) -> bytes | ImageError:
        """An image as a file of its own.

        Raises:
            SourceChangedError: Its file is no longer of the version that was planned.
        """
        name = file_name_of(member)
        form = _format_of(name)
        if self._file is None or name != self._name:
            self.close()
            version = member.version if self._check_version else None
            opening = _opened(self._folder, name, version, form)
            self._file = self._opened.enter_context(opening)
            self._name = name
        try:
            return form.read(self._file, _image_of(member))
        except ImageError as error:
            return error

    def close(self) -> None:
        """Close the file that is open, if any."""
        self._file = None
        self._opened.close()


def write_with_pages(
    place: Place,
    path: str,
    version: str | None,
    whole: Path,
    images: Sequence[Member],
    cleaned: Callable[[int], bytes],
) -> bool:
    """Copy a file of several pages, with cleaned images in the copy.

    Args:
        place: Where the file is.
        path: In there.
        version: That the file has to be of; None: any.
        whole: Where the copy goes.
        images: What was cleaned in it, by position.
        cleaned: The cleaned file of one of them, by its position.

    Returns:
        Whether it could be done; else `whole` is of no use.
    """
    form = _format_of(path)
    positions = {}
    for member in images:
        positions[_image_of(member)] = member.position

    def cleaned_image(image: PageImage) -> bytes:
        return cleaned(positions[image])

    with _opened(place, path, version, form) as file, whole.open("w+b") as out:
        try:
            form.put(file, out, list(positions), cleaned_image)
        except ImageError:
            return False
    return True
