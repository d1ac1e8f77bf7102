"""What goes to the child that reads PDF files, and what comes back apart from bytes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ListPictures:
    """Asks for the pictures of a file: a list of `PdfPicture`."""

    path: Path


@dataclass(frozen=True)
class CarvePicture:
    """Asks for a picture as a file of its own: bytes."""

    path: Path
    number: int


@dataclass(frozen=True)
class ReadTrailer:
    """Asks what an update of this file has to say at its end: a `Trailer`."""

    path: Path


@dataclass(frozen=True)
class RenewPicture:
    """Asks for the object of a picture with other pixels: a `RenewedObject`."""

    path: Path
    number: int
    cleaned: bytes  # the carved file, cleaned


Request = ListPictures | CarvePicture | ReadTrailer | RenewPicture


@dataclass(frozen=True)
class Trailer:
    """What an incremental update repeats of the file before it.

    Attributes:
        entries: The trailer's own entries (Root, Info, ID ...) as they stand between << and >>.
        objects: One more than the highest object number in use.
        previous: Offset of the newest cross-reference section.
        has_table: Whether that section is a table, and no stream.
    """

    entries: bytes
    objects: int
    previous: int
    has_table: bool


@dataclass(frozen=True)
class RenewedObject:
    """A stream object that takes the place of the one with its number and generation.

    Attributes:
        number: Of the object.
        generation: Of the object.
        dictionary: From << to >>.
        data: What stands between `stream` and `endstream`.
    """

    number: int
    generation: int
    dictionary: bytes
    data: bytes
