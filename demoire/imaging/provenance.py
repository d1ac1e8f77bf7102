"""The note that a cleaned file carries: which program changed it, with which weights, and when.

It is one more entry in the history of the file's XMP (`xmpMM:History`), where editors of pictures
note what they did. A file without XMP gets a packet that holds nothing else. All other bytes of the
packet stay; where it has room for later edits, as most have, it even keeps its length.

A packet that is no XML of its own kind (UTF-16, damaged, with a document type) is left as it is:
then the file goes without a note.

References:
    ISO 16684-1 (XMP), 7.3 to 7.5 for the packet and its wrapper; Adobe, "XMP Specification, Part
    2", 1.2.4 "ResourceEvent" and 3.2 "XMP Media Management".
    https://reproducible-builds.org/specs/source-date-epoch/ for a day that the environment says.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from demoire.errors import UsageError

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MEDIA_MANAGEMENT = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"

# Names as expat gives them: namespace, a blank, local name.
_WHOLE = f"{_RDF} RDF"
_HISTORY = f"{_MEDIA_MANAGEMENT} History"
_PATH_TO_ENTRIES = [_WHOLE, f"{_RDF} Description", _HISTORY, f"{_RDF} Seq"]

_NEW_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
).encode()
_END_OF_PACKET = b"<?xpacket end="

_SOURCE_DATE = "SOURCE_DATE_EPOCH"  # environment: seconds since 1970, UTC


def fixed_day() -> date | None:
    """The day that SOURCE_DATE_EPOCH in the environment says; None where it says nothing.

    Raises:
        UsageError: It is no number of seconds.
    """
    seconds = os.environ.get(_SOURCE_DATE)
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(int(seconds), UTC).date()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{_SOURCE_DATE} is {seconds!r}; set it to seconds since 1970, such as 1764547200, or "
            "to nothing."
        ) from error


@dataclass(frozen=True)
class Provenance:
    """What changed a file.

    Attributes:
        program: Name and version.
        weights: sha256 of the restorer's weights file, 64 hex digits.
        day: When. A day, and given by the caller, so that the same work gives the same bytes.
    """

    program: str
    weights: str
    day: date

    def written_into(self, packet: bytes | None) -> bytes | None:
        """An XMP packet with this as the last entry of its history.

        Args:
            packet: The packet as it was; None where the file has none.

        Returns:
            The new packet; None where nothing can be added to the old one safely.
        """
        whole = _NEW_PACKET if packet is None else packet
        body = whole.rstrip(b"\0")
        places = _find_places(body)
        if places is None:
            return None
        if places.end_of_entries is not None:
            at = places.end_of_entries
            addition = self._entry()
        elif not places.has_history and places.end_of_rdf is not None:
            at = places.end_of_rdf
            addition = self._history(places.about)
        else:
            return None
        grown = body[:at] + addition.encode() + body[at:]
        return _with_less_padding(grown, len(grown) - len(body)) + whole[len(body) :]

    def _entry(self) -> str:
        parameters = f"moiré removed; weights sha256 {self.weights}"
        return (
            f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}" stEvt:action="edited" '
            f'stEvt:when="{self.day.isoformat()}" stEvt:softwareAgent={quoteattr(self.program)} '
            f"stEvt:parameters={quoteattr(parameters)}/>"
        )

    def _history(self, about: str) -> str:
        return (
            f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={quoteattr(about)} '
            f'xmlns:xmpMM="{_MEDIA_MANAGEMENT}"><xmpMM:History><rdf:Seq>{self._entry()}'
            "</rdf:Seq></xmpMM:History></rdf:Description>"
        )


@dataclass
class _Places:
    """Where in a packet something can be added, in bytes."""

    end_of_entries: int | None = None  # of an existing history
    end_of_rdf: int | None = None
    has_history: bool = False
    about: str = ""  # what the packet describes; every description has to name the same
    path: list[str] = field(default_factory=list)  # of the elements that are open


class _UnsafeXmlError(ValueError):
    """XML that no XMP packet consists of."""


def _find_places(packet: bytes) -> _Places | None:
    """Where a history can be written; None where the packet is not what it should be."""
    places = _Places()
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, attributes: dict[str, str]) -> None:
        places.path.append(name)
        if name == _PATH_TO_ENTRIES[1]:
            places.about = places.about or attributes.get(f"{_RDF} about", "")
        places.has_history = places.has_history or name == _HISTORY

    def end(name: str) -> None:
        at = parser.CurrentByteIndex
        # Of an element without content the tag's beginning is reported: nothing fits in there.
        has_end_tag = packet[at : at + 2] == b"</"
        if has_end_tag and name == _WHOLE:
            places.end_of_rdf = at
        if has_end_tag and places.path[-len(_PATH_TO_ENTRIES) :] == _PATH_TO_ENTRIES:
            places.end_of_entries = at
        places.path.pop()

    def refuse(*_: object) -> None:
        raise _UnsafeXmlError("a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    if b"\0" in packet:  # UTF-16 or UTF-32
        return None
    try:
        parser.Parse(packet, True)
    except (expat.ExpatError, _UnsafeXmlError):
        return None
    return places


def _with_less_padding(packet: bytes, grown_by: int) -> bytes:
    """The packet in its old length, if the blanks before its end allow it."""
    end = packet.rfind(_END_OF_PACKET)
    if end < 0:
        return packet
    content = packet[:end].rstrip(b" \t\r\n")
    blanks = end - len(content)
    if blanks < grown_by:
        return packet
    return packet[: end - grown_by] + packet[end:]
