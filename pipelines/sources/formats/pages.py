"""Files of several pages among a folder's loose files: each page is an image of its own.

The name of a page is that of its file, '!/', and 'page-' with its number from 1 in four digits or
more: 'scan.tif!/page-0003'. Reading a page gives a TIFF file of that page alone, which is cleaned
like any other; publishing puts it back into a copy of the whole file.

A folder's file of several pages is `other`: it is mirrored, once, and its pages have the rows.

Costs: of each TIFF file the header and the first directory, of one of several pages all
directories. Reading a page reads its bytes alone.
"""

import shutil
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.imaging.codecs import tiff
from demoire.imaging.codecs.tiff_pages import carve, pages_of
from demoire.imaging.codecs.tiff_reader import DamagedPagesError
from demoire.imaging.codecs.tiff_splice import PageRefusedError, put_pages
from pipelines.records import Member
from pipelines.sources.inner_positions import SEPARATOR, file_name_of, position_inside
from pipelines.sources.members import suffix_of, unreadable
from pipelines.storage.place import Place

_LOOKED_AT_ONCE = 8  # files; each mostly waits for storage
_COPIED_AT_ONCE = 1 << 20  # bytes


def take_apart(folder: Place, members: list[Member]) -> tuple[list[Member], list[Member]]:
    """Look for files of several pages among a folder's files.

    Returns:
        The files, those of several pages as `other`; and all pages of these.
    """
    tiffs = []
    for member in members:
        if member.kind == "image" and member.length and suffix_of(member.name) in tiff.SUFFIXES:
            tiffs.append(member)
    if not tiffs:
        return members, []

    def look(member: Member) -> list[Member]:
        return _pages_in(folder, member)

    pages: list[Member] = []
    taken_apart = set()
    with ThreadPoolExecutor(_LOOKED_AT_ONCE, thread_name_prefix="pages") as pool:
        for member, inside in zip(tiffs, pool.map(look, tiffs), strict=True):
            if inside:
                taken_apart.add(member.position)
                pages.extend(inside)
    files = []
    for member in members:
        is_whole = member.position not in taken_apart
        files.append(member if is_whole else replace(member, kind="other"))
    return files, pages


def _pages_in(folder: Place, member: Member) -> list[Member]:
    """The pages of a file; none where it has only one, or is not taken apart."""
    with folder.open(member.name, version=member.version) as file:
        pages = pages_of(file)
    inside = []
    for number, page in enumerate(pages, start=1):
        whole = replace(
            member,
            position=position_inside(member.position, number),
            name=f"{member.name}{SEPARATOR}page-{number:04}",
            offset=page.offset,
            length=page.size,
            size=page.size,
            megapixels=page.megapixels,
        )
        inside.append(whole)
    return inside


class PageReader:
    """Reads pages of a folder's files; the file of the last one stays open for the next.

    Args:
        folder: Where the files are.
        check_version: Whether a file has to be of the version that was planned.
    """

    def __init__(self, folder: Place, *, check_version: bool) -> None:
        self._folder = folder
        self._check_version = check_version
        self._name: str | None = None
        self._file: BinaryIO | None = None

    def read(self, member: Member) -> bytes | ImageError:
        """A page as a file of its own.

        Raises:
            SourceChangedError: Its file is no longer of the version that was planned.
        """
        name = file_name_of(member)
        if self._file is None or name != self._name:
            self.close()
            version = member.version if self._check_version else None
            self._file = self._folder.open(name, version=version)
            self._name = name
        try:
            return carve(self._file, member.offset)
        except DamagedPagesError as damage:
            return unreadable(member, str(damage))

    def close(self) -> None:
        """Close the file that is open, if any."""
        if self._file is not None:
            self._file.close()
        self._file = None


def write_with_pages(
    original: BinaryIO,
    local: Path,
    numbers: Collection[int],
    cleaned_page: Callable[[int], bytes],
) -> bool:
    """Copy a file, and put cleaned pages into the copy.

    Args:
        original: The file.
        local: Where the copy goes.
        numbers: Of the pages, from 1.
        cleaned_page: The cleaned file of one page, by its number.

    Returns:
        Whether it could be done; else `local` is of no use.
    """
    with local.open("w+b") as out:
        shutil.copyfileobj(original, out, _COPIED_AT_ONCE)
        out.flush()
        try:
            put_pages(out, numbers, cleaned_page)
        except PageRefusedError:
            return False
    return True
