"""An incremental update of a PDF file: objects that replace older ones, and where they are.

The file before it stays as it is, to the byte. An update ends with a cross-reference section of the
kind that the file already has, since a reader may know but one of them.

References:
    ISO 32000-1:2008: incremental updates in 7.5.6, cross-reference tables in 7.5.4, their streams
    in 7.5.8, the trailer in 7.5.5.
"""

import io
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from demoire.imaging.pdf.picture import PdfRefusedError
from demoire.imaging.pdf.requests import RenewedObject, Trailer
from demoire.reasons import Reason

_MOST_OFFSET = 10**10 - 1  # in a table: ten digits
_IN_USE = 1  # type of an entry in a cross-reference stream
_STREAM_ENTRY = struct.Struct(">BQH")  # type, offset, generation
_STREAM_WIDTHS = b"[ 1 8 2 ]"


@dataclass(frozen=True)
class _Entry:
    """Where an object stands."""

    number: int
    generation: int
    offset: int


class IncrementalUpdate:
    """Objects that are appended to a copy of a file.

    Args:
        out: The copy, open for reading and writing.
        trailer: What the file's newest cross-reference section says.
    """

    def __init__(self, out: BinaryIO, trailer: Trailer) -> None:
        self._out = out
        self._trailer = trailer
        self._entries: list[_Entry] = []
        out.seek(-1, os.SEEK_END)
        ends_a_line = out.read(1) in (b"\n", b"\r")
        out.seek(0, os.SEEK_END)
        if not ends_a_line:
            out.write(b"\n")

    def add(self, renewed: RenewedObject) -> None:
        """Append an object."""
        start = self._start_object(renewed.number, renewed.generation)
        self._entries.append(_Entry(renewed.number, renewed.generation, start))
        if renewed.data is None:
            self._out.write(renewed.dictionary + b"\nendobj\n")
        else:
            self._write_stream(renewed.dictionary, renewed.data)

    def finish(self) -> None:
        """Append the cross-reference section, and flush the file.

        Raises:
            PdfRefusedError: The file is too long for a table.
        """
        self._entries.sort(key=lambda entry: entry.number)
        start = self._offset()
        if self._trailer.has_table:
            if start > _MOST_OFFSET:
                raise PdfRefusedError(
                    Reason.ENCODE_FAILED, "The PDF would grow beyond what its table can tell."
                )
            self._write_table()
        else:
            self._write_cross_reference_stream()
        self._out.write(b"startxref\n%d\n%%%%EOF\n" % start)
        self._out.flush()

    def _offset(self) -> int:
        """Where the next byte will stand, as the file counts."""
        return self._out.tell() - self._trailer.start

    def _start_object(self, number: int, generation: int) -> int:
        start = self._offset()
        self._out.write(b"%d %d obj\n" % (number, generation))
        return start

    def _write_stream(self, dictionary: bytes, data: bytes) -> None:
        self._out.write(dictionary + b"\nstream\n")
        self._out.write(data)
        self._out.write(b"\nendstream\nendobj\n")

    def _write_table(self) -> None:
        out = io.BytesIO()
        out.write(b"xref\n")
        for section in _sections(self._entries):
            out.write(b"%d %d\n" % (section[0].number, len(section)))
            for entry in section:
                # Twenty bytes with the end of the line, as readers count them.
                out.write(b"%010d %05d n \n" % (entry.offset, entry.generation))
        out.write(
            b"trailer\n<< %s /Size %d /Prev %d >>\n"
            % (self._trailer.entries, self._trailer.objects, self._trailer.previous)
        )
        self._out.write(out.getvalue())

    def _write_cross_reference_stream(self) -> None:
        """Write the section as an object of its own, the last that it tells of."""
        number = self._trailer.objects
        start = self._start_object(number, 0)
        entries = [*self._entries, _Entry(number, 0, start)]
        index = []
        rows = []
        for section in _sections(entries):
            index.append(b"%d %d" % (section[0].number, len(section)))
            for entry in section:
                rows.append(_STREAM_ENTRY.pack(_IN_USE, entry.offset, entry.generation))
        data = b"".join(rows)
        dictionary = b"<< %s /Type /XRef /Size %d /Prev %d /W %s /Index [ %s ] /Length %d >>" % (
            self._trailer.entries,
            number + 1,
            self._trailer.previous,
            _STREAM_WIDTHS,
            b" ".join(index),
            len(data),
        )
        self._write_stream(dictionary, data)


def _sections(entries: list[_Entry]) -> list[list[_Entry]]:
    """Entries, in ascending order, in groups whose numbers follow each other."""
    sections: list[list[_Entry]] = []
    for entry in entries:
        if sections and sections[-1][-1].number + 1 == entry.number:
            sections[-1].append(entry)
        else:
            sections.append([entry])
    return sections
