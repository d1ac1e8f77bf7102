"""What was found out about checksums under DST, and how it is kept for the report.

Kept are `fixity.csv`, a row a changed file, and `fixity.json`, a row a list of checksums that names
changed files. Both are written whole, at the end of every run that published something.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from pipelines import layout
from pipelines.destination.stored_json import read_json
from pipelines.storage.local import local_temporary
from pipelines.storage.place import Place

FixityMode = Literal["report", "update"]

# stale: it says of changed files what was true of the originals.
# updated: in the mirror it was rewritten, and holds.
ListState = Literal["stale", "updated"]


@dataclass(frozen=True)
class ChangedFile:
    """A file of the mirror that differs from its original. Field order is column order."""

    path: str  # under DST; of the archive where the file lies in one
    member: str  # name in the archive; '' for what is an object of its own
    sha256_before: str  # '' of a file whose pages changed, where no list of checksums names it
    sha256_after: str
    bytes_before: int
    bytes_after: int
    source_version: str = ""  # of an archive in SRC, as its store tells it


@dataclass(frozen=True)
class ChecksumList:
    """A list of checksums, or a field in a JSON object, that names changed files."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    path: str  # under DST; of the archive where the list lies in one
    member: str  # name in the archive; '' for what is an object of its own
    algorithm: str
    files: int  # changed files of which it held before
    wrong_before: int  # changed files whose originals it did not fit either; never rewritten
    state: ListState
    examples: tuple[str, ...] = ()  # some of the files


@dataclass(frozen=True)
class Findings:
    """What is known of the checksums under DST."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    mode: FixityMode
    changed_files: int
    lists: tuple[ChecksumList, ...] = ()

    @property
    def stale(self) -> list[ChecksumList]:
        """The lists that no longer hold."""
        return [checked for checked in self.lists if checked.state == "stale"]

    @property
    def updated(self) -> list[ChecksumList]:
        """The lists that were rewritten."""
        return [checked for checked in self.lists if checked.state == "updated"]


_FORM = TypeAdapter(Findings)
_COLUMNS = [column.name for column in fields(ChangedFile)]


def read_findings(place: Place) -> Findings | None:
    """What the last run found out; None where none has looked yet.

    Raises:
        UsageError: It is damaged, or of another version.
    """
    if not place.exists(layout.FIXITY_LISTS):
        return None
    return read_json(place, layout.FIXITY_LISTS, _FORM)


def write_findings(place: Place, findings: Findings) -> None:
    """Keep what was found out."""
    place.write(layout.FIXITY_LISTS, json.dumps(asdict(findings), indent=1).encode())


def read_changed(place: Place) -> Iterator[ChangedFile]:
    """The changed files that the last run wrote down."""
    if not place.exists(layout.FIXITY_TABLE):
        return
    text = place.read(layout.FIXITY_TABLE).decode("utf-8")
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield ChangedFile(
            path=row["path"],
            member=row["member"],
            sha256_before=row["sha256_before"],
            sha256_after=row["sha256_after"],
            bytes_before=int(row["bytes_before"]),
            bytes_after=int(row["bytes_after"]),
            source_version=row.get("source_version") or "",
        )


def write_changed(place: Place, files: Iterable[ChangedFile]) -> None:
    """Write fixity.csv, by path and member."""
    with local_temporary() as local:
        with local.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            for changed in sorted(files, key=lambda changed: (changed.path, changed.member)):
                writer.writerow(asdict(changed))
        place.put_file(local, layout.FIXITY_TABLE)
