"""What XML files say of other files, value by value, each with its place in the bytes.

An XML parser finds the elements, and values are replaced in the file's own bytes. So everything
else in it, to the last space, stays as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.parsers import expat


@dataclass(frozen=True)
class Value:
    """The value of an attribute or element, and its first byte in the file."""

    text: str
    offset: int


@dataclass(frozen=True)
class DescribedFile:
    """A file that is named, and what is said of it.

    Attributes:
        path: Of the file.
        checksum: One of its checksums.
        checksum_type: As it is written; '' where it is not.
        size: Its bytes.
        sections: The identifiers of the sections that it points to.
        is_by_name: Whether only the last part of the path is certain.
    """

    path: str
    checksum: Value | None
    checksum_type: str
    size: Value | None
    sections: tuple[str, ...] = ()
    is_by_name: bool = False


def with_other_values(content: bytes, values: Mapping[Value, str]) -> bytes:
    """The file with other values in the place of these."""
    written = []
    at = 0
    for value in sorted(values, key=lambda one: one.offset):
        written.append(content[at : value.offset])
        written.append(values[value].encode("ascii"))
        at = value.offset + len(value.text)
    return b"".join([*written, content[at:]])


class EntityError(Exception):
    """A file declares entities, which no METS or PREMIS file needs, and bombs are made of."""


UNSOUND = (expat.ExpatError, EntityError)
"""What a parser raises of a file that is not to be read."""


def new_parser() -> expat.XMLParserType:
    """A parser that names elements by namespace, a space and name, and refuses entities."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.EntityDeclHandler = _refuse
    return parser


def _refuse(*_: object) -> None:
    raise EntityError
