"""Files of several pages among a folder's loose files: each image inside is one of its own.

How such images are named, and what becomes of the file, is told in `page_images`.

Costs: of each TIFF file the header and the first directory, of one of several pages all
directories; reading a page reads its bytes alone. A PDF is read where it lies on this machine. One
that is away is fetched into a temporary file: when it is indexed, when its images are read, and
when it is published. For its images a large one is fetched once by each process that reads some of
them (`kept_copy`), a small one for each run of them that is read together.
"""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, kept
from demoire.imaging.paged import paged_format
from demoire.imaging.paged.paged_format import PagedFormat, PageImage
from demoire.imaging.pdf.guarded import pdf_readers
from pipelines.records import Member
from pipelines.sources.formats.kept_copy import CopyKey, kept_copy
from pipelines.sources.formats.page_images import (
    LOOKED_AT_ONCE,
    TakenApart,
    by_path_at_once,
    form_of,
    image_of,
    look_inside,
    may_hold_images,
)
from pipelines.sources.inner_positions import (
    file_name_of,
    has_position,
    page_position,
    position_inside,
)
from pipelines.sources.members import suffix_of
from pipelines.storage.local import LocalPlace
from pipelines.storage.local_files import path_in
from pipelines.storage.place import Place, source_changed

_COPIED_AT_ONCE = 1 << 20  # bytes


def take_apart(
    folder: Place, members: list[Member], *, office: bool
) -> tuple[list[Member], list[Member]]:
    """Look for files of several pages among a folder's files.

    Args:
        folder: Where they are.
        members: The files.
        office: Whether office documents are looked into.

    Returns:
        The files, those of several pages as `other`; and all images inside these.
    """
    candidates = [member for member in members if may_hold_images(member, office=office)]
    if not candidates:
        return members, []

    def look(member: Member) -> TakenApart:
        return _look_inside(folder, member)

    files = {member.position: member for member in members}
    images: list[Member] = []
    with ThreadPoolExecutor(LOOKED_AT_ONCE, thread_name_prefix="pages") as pool:
        for taken_apart in pool.map(look, candidates):
            files[taken_apart.file.position] = taken_apart.file
            images.extend(taken_apart.images)
    return list(files.values()), images


def end_idle_readers() -> None:
    """End the processes that read PDF files and have nothing to do now; the next one starts anew.

    For a process that is done with reading, and stays. No copy of a file stays either.
    """
    pdf_readers.end()
    kept_copy.let_go()


def _look_inside(folder: Place, member: Member) -> TakenApart:
    whole = PagedObject(folder, member.name, member.version)
    turn = by_path_at_once if whole.form.needs_path else nullcontext()

    def position_of(image: PageImage, number: int) -> int | None:
        if not has_position(image.page, image.on_page):
            return None
        return position_inside(member.position, page_position(image.page, image.on_page))

    with turn:
        return look_inside(member, whole.form, whole.opened(), position_of)


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
        return form_of(self.path)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it, by a path of this machine where its format needs one.

        Raises:
            SourceChangedError: It is no longer of this version.
        """
        with self.place.open(self.path, version=self.version) as file:

            def copy_to(copy: BinaryIO) -> None:
                shutil.copyfileobj(file, copy, _COPIED_AT_ONCE)

            if not self.form.needs_path:
                yield file
            elif self._is_read_by_path:
                with path_in(self.place, self.path).open("rb") as by_path:
                    yield by_path
            else:
                with kept_copy.opened(self._copy_key, _size_of(file), copy_to) as copy:
                    yield copy

    def check(self) -> None:
        """Look again, once something was read: what opens a file by its path may have read another
        version.

        Raises:
            SourceChangedError: It has.
        """
        if self.version is None or not (self.form.needs_path and self._is_read_by_path):
            return
        entry = self.place.stat(self.path)
        if entry is None or entry.version != self.version:
            raise source_changed(self.place.full(self.path))

    @property
    def _is_read_by_path(self) -> bool:
        """Whether a format that needs a path gets the file's own, and no copy's."""
        return isinstance(self.place, LocalPlace) and _is_text(self.place.uri + self.path)

    @property
    def _copy_key(self) -> CopyKey | None:
        return None if self.version is None else (self.place.full(self.path), self.version)


def read_together(member: Member) -> str:
    """The name of what is fetched for a folder's file or image: of a PDF always all of it."""
    name = file_name_of(member)
    form = paged_format(suffix_of(name))
    return name if form is not None and form.needs_path else member.name


def _size_of(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


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
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._whole = PagedObject(folder, "")
        self._file: BinaryIO | None = None
        self._opened = ExitStack()

    def read(self, member: Member) -> FileBytes | ImageError:
        """An image as a file of its own.

        Raises:
            SourceChangedError: Its file is no longer of the version that was planned.
        """
        name = file_name_of(member)
        if self._file is None or name != self._whole.path:
            self.close()
            self._whole = PagedObject(self._folder, name, member.version)
            self._file = self._opened.enter_context(self._whole.opened())
        image: FileBytes | ImageError
        try:
            image = kept(self._whole.form.read(self._file, image_of(member)))
        except ImageError as error:
            image = error
        self._whole.check()
        return image

    def close(self) -> None:
        """Close the file that is open, if any."""
        self._file = None
        self._opened.close()
