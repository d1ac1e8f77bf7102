"""What goes to the child that reads PDF files, and what comes back apart from bytes."""

from dataclasses import dataclass, field
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
    """Asks for the object of a picture with other pixels, and behind it for thumbnails that show
    the picture: a list of `RenewedObject`.
    """

    path: Path
    number: int
    cleaned: bytes  # the carved file, cleaned


@dataclass(frozen=True)
class RenewPages:
    """Asks for the pages that draw some pictures and hold an old thumbnail of themselves, without
    it: a list of `RenewedObject`.
    """

    path: Path
    numbers: tuple[int, ...]  # of the pictures
    renewed: frozenset[tuple[int, int]]  # number and generation of thumbnails that are made anew


@dataclass(frozen=True)
class WriteAnew:
    """Asks for a file without what its updates replaced, written to a path: None.

    Attributes:
        path: The file.
        target: An empty file.
        linearize: Whether it is to be shown page by page while it still comes in.
    """

    path: Path
    target: Path
    linearize: bool


Request = ListPictures | CarvePicture | ReadTrailer | RenewPicture | RenewPages | WriteAnew


@dataclass(frozen=True)
class Question:
    """A request as it goes to the child.

    Attributes:
        request: What is asked for.
        passwords: What the file is tried with if it is encrypted.
    """

    request: Request
    passwords: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Mistake:
    """An answer that nobody expects: the child ran into a mistake of this program's own.

    Attributes:
        traceback: Where.
    """

    traceback: str


@dataclass(frozen=True)
class Trailer:
    """What an incremental update repeats of the file before it.

    Attributes:
        entries: The trailer's own entries (Root, Info, ID ...) as they stand between << and >>.
        objects: One more than the highest object number in use.
        previous: Offset of the newest cross-reference section.
        has_table: Whether that section is a table, and no stream.
        is_linearized: Whether the file is linearized, and has no update yet.
        start: Bytes before the file's header, from which all offsets count.
    """

    entries: bytes
    objects: int
    previous: int
    has_table: bool
    is_linearized: bool
    start: int


@dataclass(frozen=True)
class RenewedObject:
    """An object that takes the place of the one with its number and generation.

    Attributes:
        number: Of the object.
        generation: Of the object.
        dictionary: From << to >>.
        data: What stands between `stream` and `endstream`; None where it is no stream.
    """

    number: int
    generation: int
    dictionary: bytes
    data: bytes | None
