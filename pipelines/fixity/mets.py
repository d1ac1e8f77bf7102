"""Checksums and sizes in METS files, which libraries keep beside digitized pages.

`<file CHECKSUM="..." SIZE="..."><FLocat xlink:href="page.tif"/></file>`: `CHECKSUMTYPE` names the
algorithm; where it is missing or names none that METS knows, the checksum's length tells. Of HAVAL,
MNP, Tiger and Whirlpool, for which Python has no code, a checksum of a changed file is known to be
stale, and stays. Files in UTF-16 are passed over.

References:
    METS 1.12.1 and METS 2, elements `file` and `FLocat`; the attribute `CHECKSUMTYPE`.
"""

import posixpath
import re
from urllib.parse import unquote, urlsplit

from pipelines.fixity.xml_values import UNSOUND, DescribedFile, Value, new_parser
from pipelines.paths import leads_out

_NAME = re.compile(r"(^|[._-])mets([._-].*)?\.xml$|\.mets$", re.IGNORECASE)
_NAMESPACES = ("http://www.loc.gov/METS/", "http://www.loc.gov/METS/v2")
_LOCATIONS = ("http://www.w3.org/1999/xlink href", "LOCREF")  # of METS 1 and 2
_FILES = frozenset(f"{namespace} file" for namespace in _NAMESPACES)
_FILE_LOCATIONS = frozenset(f"{namespace} FLocat" for namespace in _NAMESPACES)
_ATTRIBUTE = rb"\s+([^\s=<>\"']+)\s*=\s*(\"[^\"<]*\"|'[^'<]*')"
_TAG = re.compile(rb"<[^\s/>]+((?:" + _ATTRIBUTE + rb")*)\s*/?>")
_ONE_ATTRIBUTE = re.compile(_ATTRIBUTE)
_LOCAL_SCHEMES = ("", "file")


def is_mets_name(path: str) -> bool:
    """Whether a file of this name is taken for METS."""
    return _NAME.search(path.rpartition("/")[2]) is not None


def mets_files(path: str, content: bytes) -> list[DescribedFile]:
    """The files beside it that a METS file names, in order; none where it is no sound XML.

    Args:
        path: Of the METS file. What it names lies relative to its folder; names that leave the
            whole tree, and addresses elsewhere, are passed over.
        content: Of the METS file.
    """
    reader = _Reader(posixpath.dirname(path), content)
    try:
        reader.read()
    except UNSOUND:
        return []
    return reader.files


class _Reader:
    """Reads one file, element by element."""

    def __init__(self, folder: str, content: bytes) -> None:
        self.files: list[DescribedFile] = []
        self._folder = folder
        self._content = content
        self._open: list[dict[bytes, Value]] = []  # `file` elements may hold others
        self._parser = new_parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def read(self) -> None:
        self._parser.Parse(self._content, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in _FILES:
            self._open.append(self._values(self._parser.CurrentByteIndex))
        elif name in _FILE_LOCATIONS and self._open:
            for key in _LOCATIONS:
                if key in attributes:
                    self._take(attributes[key], self._open[-1])

    def _end(self, name: str) -> None:
        if name in _FILES:
            self._open.pop()

    def _take(self, location: str, values: dict[bytes, Value]) -> None:
        address = urlsplit(location)
        if address.scheme not in _LOCAL_SCHEMES or address.netloc not in ("", "."):
            return
        named = unquote(address.path, errors="surrogateescape")
        if address.netloc:  # file://./page.tif, as some write it
            named = named.lstrip("/")
        target = posixpath.normpath(posixpath.join(self._folder, named))
        if leads_out(target):
            return
        type = values.get(b"CHECKSUMTYPE")
        sections = values.get(b"ADMID")
        file = DescribedFile(
            path=target,
            checksum=values.get(b"CHECKSUM"),
            checksum_type="" if type is None else type.text,
            size=values.get(b"SIZE"),
            sections=() if sections is None else tuple(sections.text.split()),
        )
        self.files.append(file)

    def _values(self, start: int) -> dict[bytes, Value]:
        """The attributes of the tag at this byte; none of a file in two bytes a letter."""
        tag = _TAG.match(self._content, start)
        if tag is None:
            return {}
        values = {}
        for match in _ONE_ATTRIBUTE.finditer(self._content, tag.start(1), tag.end(1)):
            text = match[2][1:-1].decode("utf-8", "replace")
            if text.isascii():
                values[match[1]] = Value(text, match.start(2) + 1)
        return values
