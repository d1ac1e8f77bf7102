"""Office documents (OOXML, OpenDocument) as files of several pictures, with `--office` alone.

Such a document is a zip. Its pictures are those members whose names are of images; each has a row
under its name in there: 'letter.docx!/word/media/image1.png'. The document is spliced like any zip
(`zip_splice`), so its other members, their order, `mimetype`, content types and relations keep
their bytes.

A signed document is left as it is, since its signatures cover the pictures: OOXML keeps them in
`_xmlsignatures`, OpenDocument in one member. So is an encrypted one: an OpenDocument says so in its
manifest, and OOXML hides all of the zip in a file of another kind.

References:
    ECMA-376-2 (Open Packaging Conventions), 10.1.2 and 13; OpenDocument 1.3 part 2, 3.3 to 3.8,
    with digital signatures in 5; [MS-OFFCRYPTO] 2.3 for the encrypted kind.
"""

import io
from collections.abc import Callable, Sequence
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.imaging.paged.paged_format import PageImage
from demoire.reasons import Reason
from pipelines.records import Member
from pipelines.sources.formats import zip as zip_archive
from pipelines.sources.formats.streams import BrokenStreamError
from pipelines.sources.inner_positions import SEPARATOR
from pipelines.sources.megapixels import probe_members
from pipelines.sources.members import DamagedArchiveError, obstacle
from pipelines.sources.unopened import OFFICE_SUFFIXES

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # [MS-CFB], which holds the encrypted OOXML
_SIGNATURES = "META-INF/documentsignatures.xml"
_SIGNATURE_FOLDER = "_xmlsignatures/"
_MANIFEST = "META-INF/manifest.xml"
_LARGEST_MANIFEST = 16 << 20  # bytes


class OfficePictures:
    """The format of office documents; see `demoire.imaging.paged.PagedFormat`."""

    suffixes = frozenset(OFFICE_SUFFIXES)
    needs_path = False

    def images(self, file: BinaryIO) -> list[PageImage] | None:
        """The pictures in the order of the document's directory; None where it is no zip.

        Raises:
            ImageError: It is signed or encrypted.
        """
        file.seek(0)
        if file.read(len(_OLE)) == _OLE:
            raise ImageError(Reason.ENCRYPTED, "The document is encrypted, or of an old format.")
        try:
            members = list(zip_archive.list_members(file))
        except DamagedArchiveError:
            return None
        _check(file, members)

        def head_of(member: Member) -> bytes:
            return zip_archive.head_in(file, member)

        images = []
        for number, member in enumerate(probe_members(members, head_of), start=1):
            if member.kind == "image" and SEPARATOR not in member.name:
                images.append(_image_of(number, member))
        return images

    def read(self, file: BinaryIO, image: PageImage) -> bytes:
        """A picture as it lies in the document.

        Raises:
            ImageError: It cannot be unpacked.
        """
        (member,) = _members_at(file, [image])
        error = obstacle(member)
        if error is not None:
            raise error
        content = io.BytesIO()
        try:
            zip_archive.unpack(file, member, content)
        except (DamagedArchiveError, BrokenStreamError) as damage:
            raise ImageError(
                Reason.UNREADABLE, f"{image.name} cannot be read out of its document: {damage}."
            ) from damage
        return content.getvalue()

    def located(self, file: BinaryIO, images: Sequence[PageImage]) -> list[PageImage]:
        """The same: positions in the directory stay."""
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
        """Copy the document with the cleaned pictures in it.

        Raises:
            ImageError: The document cannot be spliced.
        """
        by_position = {image.key: image for image in images}
        members = _members_at(file, images)

        def payload_of(position: int) -> bytes:
            return cleaned(by_position[position])

        if zip_archive.rewrite(file, out, members, payload_of):
            raise ImageError(
                Reason.ENCODE_FAILED, "A cleaned picture cannot be put back into its document."
            )


def _check(file: BinaryIO, members: Sequence[Member]) -> None:
    """Raise ImageError where a document is signed or encrypted."""
    for member in members:
        if member.name == _SIGNATURES or member.name.startswith(_SIGNATURE_FOLDER):
            raise ImageError(Reason.SIGNED, "The document is signed; it is copied as it is.")
        if member.name == _MANIFEST and _has_keys(file, member):
            raise ImageError(Reason.ENCRYPTED, "The document is encrypted.")


def _has_keys(file: BinaryIO, manifest: Member) -> bool:
    """Whether an OpenDocument's manifest tells how members are encrypted."""
    if manifest.size > _LARGEST_MANIFEST or obstacle(manifest) is not None:
        return False
    content = io.BytesIO()
    try:
        zip_archive.unpack(file, manifest, content)
    except (DamagedArchiveError, BrokenStreamError):
        return False
    return b"encryption-data" in content.getvalue()


def _image_of(number: int, member: Member) -> PageImage:
    reason = obstacle(member)
    return PageImage(
        page=number,
        on_page=0,
        key=member.position,
        size=member.size,
        megapixels=member.megapixels,
        reason=reason.reason if reason is not None else None,
        inner_name=member.name,
    )


def _members_at(file: BinaryIO, images: Sequence[PageImage]) -> list[Member]:
    """The members of the document that are these images.

    Raises:
        ImageError: It does not have them any more.
    """
    positions = {image.key for image in images}
    try:
        listed = zip_archive.list_members(file)
        members = [member for member in listed if member.position in positions]
    except DamagedArchiveError as damage:
        raise ImageError(Reason.UNREADABLE, f"The document cannot be read: {damage}.") from damage
    if len(members) != len(positions):
        raise ImageError(Reason.UNREADABLE, "The document no longer has its pictures.")
    return members
