"""A source's mirror under DST: the same archive or folder, with the cleaned images in their places.

An archive is spliced (`pipelines.sources.splice`) into a local temporary file, looked through, and
appears in one step. Where nothing was cleaned, and where the archive is damaged, its mirror is its
own bytes. A folder's files are written one by one, each in one step; links, devices and names that
leave the folder are not followed and not written.

Locally a mirror keeps its source's modification time and permissions. Costs one read and one write
of the source.
"""

import hashlib
import io
import os
import shutil
import stat
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pipelines.clean.ledger import Commit, Ledger
from pipelines.records import Member, Source, SourceKind
from pipelines.sources.formats import archive_format
from pipelines.sources.formats.folder import folder_of
from pipelines.sources.formats.tar import locate
from pipelines.sources.index import index
from pipelines.sources.members import DamagedArchiveError
from pipelines.storage.local import LocalPlace
from pipelines.storage.open import open_place
from pipelines.storage.place import Place

_FILES_AT_ONCE = 8  # of a folder; each mostly waits for storage
_COPIED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Mirror:
    """What was written."""

    size: int  # bytes
    files: int  # objects; 1 for an archive
    withheld: int = 0  # of a folder: links, devices, unsafe names
    # positions of what was cleaned but cannot be put in its place
    refused: frozenset[int] = frozenset()


class CleanedPayloads:
    """The cleaned payloads of a source by position, a segment in memory at a time."""

    def __init__(self, ledger: Ledger, commits: Sequence[Commit]) -> None:
        self._ledger = ledger
        self._places = {
            payload.position: (commit, payload) for commit in commits for payload in commit.payloads
        }
        self._name, self._segment = "", b""
        self._reading = threading.Lock()

    @property
    def positions(self) -> AbstractSet[int]:
        return self._places.keys()

    def length(self, position: int) -> int:
        return self._places[position][1].length

    def __call__(self, position: int) -> bytes:
        """Raises DemoireError when the bytes are not the ones that were committed."""
        commit, payload = self._places[position]
        with self._reading:
            if self._name != commit.segment:
                self._name, self._segment = commit.segment, self._ledger.segment(commit)
            data = self._segment[payload.offset : payload.offset + payload.length]
        if hashlib.sha256(data).hexdigest() != payload.sha256:
            raise self._ledger.damaged(commit)
        return data


def mirror_archive(
    source: Source,
    place: Place,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
    count: int | None,
) -> Mirror:
    """Write an archive's mirror. members: the planned ones by position; count: of all in it, None
    where not known.
    """
    with _buffered(open_place(source.uri).open("", version=source.version)) as reader:
        changed = [members[position] for position in cleaned.positions]
        return _write_archive(source, reader, place, cleaned, changed, count)


def patch_archive(
    source: Source, place: Place, cleaned: CleanedPayloads, members: Mapping[int, Member]
) -> Mirror:
    """Put further cleaned payloads into a mirror that is there already, and leave what else is in
    it.
    """
    with _buffered(place.open(source.path)) as reader:
        if source.kind == "tar":
            changed = locate(reader, cleaned.positions)
        else:
            changed = [members[position] for position in cleaned.positions]
        return _write_archive(source, reader, place, cleaned, changed, None)


def mirror_folder(source: Source, place: Place, cleaned: CleanedPayloads) -> Mirror:
    """Write a folder's mirror. Raises SourceChangedError if a file is no longer what was
    planned.
    """
    members = index(source).members
    safe = [member for member in members if member.kind != "unsafe"]
    return Mirror(
        _write_files(source, place, cleaned, safe), len(safe), withheld=len(members) - len(safe)
    )


def patch_folder(
    source: Source, place: Place, cleaned: CleanedPayloads, members: Mapping[int, Member]
) -> None:
    """Write some more cleaned files into a folder's mirror."""
    _write_files(source, place, cleaned, [members[position] for position in cleaned.positions])


def _write_archive(
    source: Source,
    reader: BinaryIO,
    place: Place,
    cleaned: CleanedPayloads,
    changed: Sequence[Member],
    count: int | None,
) -> Mirror:
    with place.new_file(source.path) as local:
        refused: AbstractSet[int] = cleaned.positions
        if changed:
            refused = _splice(source.kind, reader, local, changed, cleaned)
            kept = {member.position: member for member in changed if member.position not in refused}
            if not _is_sound(source.kind, local, kept, cleaned, count):
                refused = cleaned.positions
        if len(refused) == len(cleaned.positions):  # byte for byte
            reader.seek(0)
            with local.open("wb") as out:
                shutil.copyfileobj(reader, out, _COPIED_AT_ONCE)
        _keep_times(open_place(source.uri), "", place, local)
        return Mirror(local.stat().st_size, 1, refused=frozenset(refused))


def _splice(
    kind: SourceKind,
    reader: BinaryIO,
    local: Path,
    changed: Sequence[Member],
    cleaned: CleanedPayloads,
) -> set[int]:
    with local.open("wb") as out:
        return archive_format(kind).rewrite(reader, out, changed, cleaned)


def _is_sound(
    kind: SourceKind,
    local: Path,
    changed: Mapping[int, Member],
    cleaned: CleanedPayloads,
    count: int | None,
) -> bool:
    """Whether the archive as it was written has all its members, the changed ones under their names
    and new sizes.
    """
    found = members = 0
    try:
        with local.open("rb") as file:
            for member in archive_format(kind).list_members(file):
                members += 1
                if (wanted := changed.get(member.position)) is not None:
                    found += (member.name, member.size) == (
                        wanted.name,
                        cleaned.length(member.position),
                    )
    except DamagedArchiveError:
        return False
    return found == len(changed) and count in (None, members)


def _write_files(
    source: Source, place: Place, cleaned: CleanedPayloads, members: Sequence[Member]
) -> int:
    """Write these files of a folder, the cleaned ones as such; bytes written."""
    origin, _ = folder_of(source)
    target = place.child(source.path)

    def write(member: Member) -> int:
        with target.new_file(member.name) as local:
            if member.position in cleaned.positions:
                local.write_bytes(cleaned(member.position))
            else:
                with (
                    origin.open(member.name, version=member.version) as reader,
                    local.open("wb") as out,
                ):
                    shutil.copyfileobj(reader, out, _COPIED_AT_ONCE)
            _keep_times(origin, member.name, target, local)
            return local.stat().st_size

    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="publish") as pool:
        return sum(pool.map(write, members))


def _buffered(file: BinaryIO) -> BinaryIO:
    """What reads by ranges may give fewer bytes than asked for, like any raw file; this one does
    not.
    """
    return (
        cast(BinaryIO, io.BufferedReader(file, _COPIED_AT_ONCE))
        if isinstance(file, io.RawIOBase)
        else file
    )


def _keep_times(origin: Place, path: str, target: Place, local: Path) -> None:
    """Give a local mirror its source's times, and permissions where it has them."""
    if not isinstance(target, LocalPlace):
        return
    if isinstance(origin, LocalPlace):
        shutil.copystat(Path(origin.uri, path) if path else Path(origin.uri), local)
        # another's file may have been read as a guest
        local.chmod(stat.S_IMODE(local.stat().st_mode) | stat.S_IRUSR)
    elif (entry := origin.stat(path)) is not None:
        os.utime(local, (entry.mtime, entry.mtime))
