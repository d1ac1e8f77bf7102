"""Digests and sizes in PREMIS objects, which stand in files of their own or inside METS.

`<premis:object>` tells `messageDigest` and `size` of a file that it names by its location, its
original name or an identifier, or not at all: in METS a `file` may point to the section that the
object is in.

References:
    PREMIS Data Dictionary 3.0: objectIdentifier (1.1), fixity (1.5.2), size (1.5.3), originalName
    (1.6), storage (1.7). METS 1.12.1: the attribute ADMID of `file`.
"""

import re
from dataclasses import dataclass

from pipelines.fixity.xml_values import UNSOUND, Value, new_parser

_NAME = re.compile(r"(^|[._-])premis([._-].*)?\.xml$", re.IGNORECASE)
_NAMESPACE = re.compile(r"(^|[/-])premis([/-]|$)", re.IGNORECASE)  # of all versions
_OBJECT = "object"
_ALGORITHM = "messageDigestAlgorithm"
_DIGEST = "messageDigest"
_SIZE = "size"
# What may name the file; the first one that is there does.
_NAMES = ("contentLocationValue", "originalName", "objectIdentifierValue")
_TEXTS = frozenset({_ALGORITHM, _DIGEST, _SIZE, *_NAMES})


@dataclass(frozen=True)
class Fixity:
    """One digest, and what it says that it is."""

    algorithm: str
    digest: Value


@dataclass(frozen=True)
class PremisObject:
    """What is said of a file.

    Attributes:
        name: Of the file, as it is told; '' where it is not.
        sections: The identifiers of the elements around it.
        fixities: Its digests.
        size: Its bytes.
    """

    name: str
    sections: frozenset[str]
    fixities: tuple[Fixity, ...]
    size: Value | None


def is_premis_name(path: str) -> bool:
    """Whether a file of this name is taken for PREMIS."""
    return _NAME.search(path.rpartition("/")[2]) is not None


def premis_objects(content: bytes) -> list[PremisObject]:
    """The objects in an XML file that tell a digest or a size; none where it is no sound XML."""
    reader = _Reader(content)
    try:
        reader.read()
    except UNSOUND:
        return []
    return reader.objects


@dataclass(frozen=True)
class _Text:
    """The text of an element, and which one."""

    element: str
    value: Value


class _Reader:
    """Reads one file, element by element."""

    def __init__(self, content: bytes) -> None:
        self.objects: list[PremisObject] = []
        self._content = content
        self._sections: list[str] = []  # of the open elements; '' where they have no identifier
        self._texts: list[_Text] | None = None  # of the open object
        self._pieces: list[str] | None = None  # of the open text
        self._text_start = 0
        self._parser = new_parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._take

    def read(self) -> None:
        self._parser.Parse(self._content, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._sections.append(attributes.get("ID", ""))
        element = _premis_element(name)
        if element == _OBJECT:
            self._texts = []
        elif element in _TEXTS and self._texts is not None:
            self._pieces = []

    def _take(self, text: str) -> None:
        if self._pieces is not None:
            if not self._pieces:
                self._text_start = self._parser.CurrentByteIndex
            self._pieces.append(text)

    def _end(self, name: str) -> None:
        element = _premis_element(name)
        if element in _TEXTS and self._pieces is not None and self._texts is not None:
            text = "".join(self._pieces).strip()
            # Not where it is written otherwise: with entities, or two bytes a letter.
            encoded = text.encode()
            offset = self._content.find(encoded, self._text_start, self._parser.CurrentByteIndex)
            if text and offset >= 0:
                self._texts.append(_Text(element, Value(text, offset)))
            self._pieces = None
        if element == _OBJECT and self._texts is not None:
            sections = frozenset(self._sections) - {""}
            told = _object_of(self._texts, sections)
            if told.fixities or told.size is not None:
                self.objects.append(told)
            self._texts = None
        self._sections.pop()


def _premis_element(name: str) -> str:
    """An element's name in PREMIS; '' of all others."""
    namespace, _, element = name.rpartition(" ")
    return element if _NAMESPACE.search(namespace) else ""


def _object_of(texts: list[_Text], sections: frozenset[str]) -> PremisObject:
    names: dict[str, str] = {}
    fixities = []
    size = None
    algorithm = ""
    for text in texts:
        if text.element == _ALGORITHM:
            algorithm = text.value.text
        elif text.element == _DIGEST:
            fixities.append(Fixity(algorithm, text.value))
            algorithm = ""
        elif text.element == _SIZE:
            size = size or text.value
        else:
            names.setdefault(text.element, text.value.text)
    name = next((names[element] for element in _NAMES if element in names), "")
    return PremisObject(name, sections, tuple(fixities), size)
