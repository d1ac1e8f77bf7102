"""The images in a file of several pages, as members of the source that the file lies in.

The name of such an image is that of its file, '!/', and 'page-' with the number of its page from 1
in four digits or more: 'scan.tif!/page-0003'; where a page holds several pictures, 'page-0003-2' is
the second one. Each is read as a file of its own, which is cleaned like any other; publishing puts
it back into a copy of the whole file. What formats there are is in `demoire.imaging.paged`; to them
come office documents (`office`), whose pictures have names of their own, where they are asked for.

A file of several pages is `other`: it is mirrored, once, and its images have the rows. One that is
refused as a whole (signed, damaged ...) is an image that is not read, with the reason.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
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
from pipelines.sources.formats.office import OfficePictures
from pipelines.sources.inner_positions import SEPARATOR, page_at
from pipelines.sources.members import is_fork, is_unsafe_name, suffix_of
from pipelines.sources.splice import NewPayload

LOOKED_AT_ONCE = 8  # files; each mostly waits for storage

# However many sources are indexed at a time, so many files are fetched or read by their paths: each
# may take a process, and room for temporary files.
by_path_at_once = BoundedSemaphore(4)

# The position of an image, given with its number in its file from 1; None where there is none.
PositionOf = Callable[[PageImage, int], int | None]
Opened = AbstractContextManager[BinaryIO]

_COPIED_AT_ONCE = 1 << 20  # bytes

_OFFICE = OfficePictures()


@dataclass(frozen=True)
class TakenApart:
    """A file after a look inside.

    Attributes:
        file: As `other` where it has several pages; with a reason where it is refused.
        images: Those inside.
    """

    file: Member
    images: tuple[Member, ...] = ()


def form_of(name: str) -> PagedFormat:
    """The format of a file with several images in it, by its name.

    Raises:
        ValueError: No such file has this name.
    """
    suffix = suffix_of(name)
    form = _OFFICE if suffix in _OFFICE.suffixes else paged_format(suffix)
    if form is None:
        raise ValueError(f"{name} is no file of several pages")
    return form


def may_hold_images(member: Member, *, office: bool) -> bool:
    """Whether a member is to be looked into, by its name.

    Args:
        member: Of a folder or an archive.
        office: Whether office documents are.
    """
    if member.reason or not member.length:
        return False
    suffix = suffix_of(member.name)
    if member.kind == "image":
        return suffix in PAGED_SUFFIXES
    is_plain = member.kind == "other" and not is_fork(member.name)
    return office and is_plain and suffix in _OFFICE.suffixes and not is_unsafe_name(member.name)


def look_inside(
    file: Member, form: PagedFormat, opened: Opened, position_of: PositionOf
) -> TakenApart:
    """Look for several pages in a file.

    Args:
        file: One that may hold several images, by its name.
        form: Its format.
        opened: The file.
        position_of: Says where its images are in the source.
    """
    try:
        with opened as content:
            images = form.images(content)
    except ImageError as error:
        return TakenApart(replace(file, kind="image", reason=error.reason.value, megapixels=0.0))
    if images is None:
        return TakenApart(file)
    inside = []
    for number, image in enumerate(images, start=1):
        position = position_of(image, number)
        if position is None:
            reason = Reason.MULTI_PAGE.value
            return TakenApart(replace(file, kind="image", reason=reason, megapixels=0.0))
        inside.append(_member_of(image, file, position))
    # Its content says that it was looked into, whatever its name is counted as.
    whole = replace(file, kind="other", megapixels=0.0, content="other")
    return TakenApart(whole, tuple(inside))


def _member_of(image: PageImage, file: Member, position: int) -> Member:
    return replace(
        file,
        kind="image",
        position=position,
        name=f"{file.name}{SEPARATOR}{image.name}",
        offset=image.key,
        length=image.size,
        size=image.size,
        compression="stored",
        megapixels=image.megapixels,
        reason=image.reason.value if image.reason is not None else "",
        dpi=image.dpi,
    )


def image_of(member: Member) -> PageImage:
    """The image that a member is, for its format."""
    at = page_at(member)
    name = "" if at.page else member.name.rpartition(SEPARATOR)[2]
    return PageImage(
        page=at.page,
        on_page=at.on_page,
        key=member.offset,
        size=member.size,
        megapixels=member.megapixels,
        inner_name=name,
    )


def write_with_images(
    form: PagedFormat,
    original: Opened,
    whole: Path,
    images: Sequence[Member],
    cleaned: Callable[[int], NewPayload],
    *,
    may_hold_them: bool,
    rewrite: bool = False,
) -> bool:
    """Copy a file of several pages, with cleaned images in the copy.

    Args:
        form: Its format.
        original: The file.
        whole: Where the copy goes.
        images: What was cleaned in it, by position.
        cleaned: The cleaned file of one of them, by its position.
        may_hold_them: Whether the file may hold them already. Then it is compared with the copy, so
            that it does not grow when they are put in once more.
        rewrite: Whether a format that otherwise keeps what it replaces leaves it out.

    Returns:
        Whether it could be done; else `whole` is of no use.
    """
    positions = {}
    for member in images:
        positions[image_of(member)] = member.position

    def cleaned_image(image: PageImage) -> bytes:
        return bytes(cleaned(positions[image]))

    with original as file, whole.open("w+b") as out:
        try:
            images_there = list(positions)
            form.put(file, out, images_there, cleaned_image, rewrite=rewrite)
            if may_hold_them:
                before = _digests(form, file, images_there)
                if before == _digests(form, out, images_there):
                    _copy_over(file, out)
        except ImageError:
            return False
    return True


def _digests(form: PagedFormat, file: BinaryIO, images: Sequence[PageImage]) -> list[bytes]:
    """Digests of these images as a file has them now."""
    return [sha256(form.read(file, image)).digest() for image in form.located(file, images)]


def _copy_over(file: BinaryIO, out: BinaryIO) -> None:
    """Make `out` the same as the file."""
    file.seek(0)
    out.seek(0)
    out.truncate()
    shutil.copyfileobj(file, out, _COPIED_AT_ONCE)
