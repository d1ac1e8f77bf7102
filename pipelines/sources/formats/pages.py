"""Files of several pages among a folder's loose files: each image inside is one of its own.

The name of such an image is that of its file, '!/', and 'page-' with the number of its page from 1
in four digits or more: 'scan.tif!/page-0003'; where a page holds several pictures, 'page-0003-2' is
the second one. Each is read as a file of its own, which is cleaned like any other; publishing puts
it back into a copy of the whole file. What formats there are is in `demoire.imaging.paged`.

A folder's file of several pages is `other`: it is mirrored, once, and its images have the rows. One
that is refused as a whole (signed, damaged ...) is an image that is not read, with the reason.

Costs: of each TIFF file the header and the first directory, of one of several pages all
directories; reading a page reads its bytes alone. A PDF is read where it lies on this machine. One
that is away is fetched into a temporary file, once when it is indexed, once for each run of its
images that is read together, and once when it is published.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import BoundedSemaphore
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.imaging.paged import PAGED_SUFFIXES, paged_format
from demoire.imaging.paged.paged_format import PagedFormat, PageImage
from demoire.reasons import Reason
from pipelines.records import Member
from pipelines.sources.inner_positions import (
    SEPARATOR,
    file_name_of,
    has_position,
    page_at,
    page_position,
    position_inside,
)
from pipelines.sources.members import suffix_of
from pipelines.storage.local import LocalPlace, local_temporary
from pipelines.storage.local_files import path_in
from pipelines.storage.place import Place

_LOOKED_AT_ONCE = 8  # files; each mostly waits for storage
_COPIED_AT_ONCE = 1 << 20  # bytes

# However many folders are indexed at a time, so many files are read by their paths: each may take a
# process, and room for temporary files.
_by_path_at_once = BoundedSemaphore(4)


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
    whole = PagedObject(folder, member.name, member.version)
    turn = _by_path_at_once if whole.form.needs_path else nullcontext()
    try:
        with turn, whole.opened() as file:
            images = whole.form.images(file)
    except ImageError as error:
        return _TakenApart(replace(member, reason=error.reason.value))
    if images is None:
        return _TakenApart(member)
    if not all(has_position(image.page, image.on_page) for image in images):
        return _TakenApart(replace(member, reason=Reason.MULTI_PAGE.value))
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


@dataclass(frozen=True)
class PagedObject:
    """A file of several pages in a place.

    Attributes:
        place: Where it is.
        path: In there.
        version: That it has to be of; None: any.
    """

    place: Place
    path: str
    version: str | None = None

    @property
    def form(self) -> PagedFormat:
        """Its format."""
        form = paged_format(suffix_of(self.path))
        if form is None:
            raise ValueError(f"{self.path} is no file of several pages")
        return form

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it, by a path of this machine where its format needs one.

        Raises:
            SourceChangedError: It is no longer of this version.
        """
        with self.place.open(self.path, version=self.version) as file:
            if not self.form.needs_path:
                yield file
            elif isinstance(self.place, LocalPlace) and _is_text(self.place.uri + self.path):
                with path_in(self.place, self.path).open("rb") as by_path:
                    yield by_path
            else:
                with local_temporary() as fetched, fetched.open("w+b") as copy:
                    shutil.copyfileobj(file, copy, _COPIED_AT_ONCE)
                    copy.flush()
                    yield copy


def read_together(member: Member) -> str:
    """The name of what is fetched for a folder's file or image: of a PDF always all of it."""
    name = file_name_of(member)
    form = paged_format(suffix_of(name))
    return name if form is not None and form.needs_path else member.name


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8; libraries that open files by others are rare."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class PageReader:
    """Reads images out of a folder's files; the file of the last one stays open for the next.

    Args:
        folder: Where the files are.
        check_version: Whether a file has to be of the version that was planned.
    """

    def __init__(self, folder: Place, *, check_version: bool) -> None:
        self._folder = folder
        self._check_version = check_version
        self._whole = PagedObject(folder, "")
        self._file: BinaryIO | None = None
        self._opened = ExitStack()

    def read(self, member: Member) -> bytes | ImageError:
        """An image as a file of its own.

        Raises:
            SourceChangedError: Its file is no longer of the version that was planned.
        """
        name = file_name_of(member)
        if self._file is None or name != self._whole.path:
            self.close()
            version = member.version if self._check_version else None
            self._whole = PagedObject(self._folder, name, version)
            self._file = self._opened.enter_context(self._whole.opened())
        try:
            return self._whole.form.read(self._file, _image_of(member))
        except ImageError as error:
            return error

    def close(self) -> None:
        """Close the file that is open, if any."""
        self._file = None
        self._opened.close()


def write_with_pages(
    original: PagedObject,
    whole: Path,
    images: Sequence[Member],
    cleaned: Callable[[int], bytes],
    *,
    may_hold_them: bool,
) -> bool:
    """Copy a file of several pages, with cleaned images in the copy.

    Args:
        original: The file.
        whole: Where the copy goes.
        images: What was cleaned in it, by position.
        cleaned: The cleaned file of one of them, by its position.
        may_hold_them: Whether the file may hold them already. Then it is compared with the copy, so
            that it does not grow when they are put in once more.

    Returns:
        Whether it could be done; else `whole` is of no use.
    """
    positions = {}
    for member in images:
        positions[_image_of(member)] = member.position

    def cleaned_image(image: PageImage) -> bytes:
        return cleaned(positions[image])

    form = original.form
    with original.opened() as file, whole.open("w+b") as out:
        try:
            form.put(file, out, list(positions), cleaned_image)
            if may_hold_them and _digests(form, file, positions) == _digests(form, out, positions):
                _copy_over(file, out)
        except ImageError:
            return False
    return True


def _digests(form: PagedFormat, file: BinaryIO, images: Iterable[PageImage]) -> list[bytes]:
    """Digests of these images in a file."""
    return [sha256(form.read(file, image)).digest() for image in images]


def _copy_over(file: BinaryIO, out: BinaryIO) -> None:
    """Make `out` the same as the file."""
    file.seek(0)
    out.seek(0)
    out.truncate()
    shutil.copyfileobj(file, out, _COPIED_AT_ONCE)
