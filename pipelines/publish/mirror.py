"""A source's mirror under DST: the same archive or folder, with the cleaned images put in.

An archive is spliced (`pipelines.sources.splice`) into a local temporary file, looked through, and
appears in one step. Where nothing was cleaned, and where the archive is damaged, its mirror is its
own bytes. A folder's files are written one by one, each in one step; links, devices and names that
leave the folder are not followed and not written.

Locally a mirror keeps its source's modification time and permissions, on an object store its
headers, metadata and tags; what did not change the store copies by itself where it can. Otherwise
the cost is one read and one write of the source.
"""

import io
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pipelines.destination.claims import MirrorClaims
from pipelines.publish.payloads import CleanedPayloads
from pipelines.records import Member, Source
from pipelines.sources.formats import archive_format
from pipelines.sources.formats.folder import folder_members, folder_of
from pipelines.sources.members import DamagedArchiveError
from pipelines.storage.local import LocalPlace
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.open import open_place
from pipelines.storage.place import Place

_FILES_AT_ONCE = 8  # of a folder; each mostly waits for storage
_COPIED_AT_ONCE = 1 << 20  # bytes


@dataclass(frozen=True)
class Mirror:
    """What was written."""

    size: int  # bytes
    files: int  # objects; 1 for an archive
    withheld: int = 0  # of a folder: links, devices, unsafe names
    # Positions of what was cleaned but cannot be put into the archive.
    refused: frozenset[int] = frozenset()


def mirror_archive(
    source: Source,
    claims: MirrorClaims,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
    count: int | None,
) -> Mirror:
    """Write an archive's mirror.

    Args:
        source: The archive.
        claims: What may be written under DST.
        cleaned: What was cleaned of it.
        members: The planned ones, by position.
        count: Of all members in it; None where that is not known.

    Raises:
        SourceChangedError: The archive is no longer what was planned.
    """
    origin = open_place(source.uri)
    if not cleaned.positions and claims.copy_from(origin, "", source.path, source.version):
        return Mirror(source.size, 1)
    facts = _carried_facts(claims.place, origin, "")
    with _buffered(origin.open("", version=source.version)) as reader:
        changed = [members[position] for position in cleaned.positions]
        return _ArchiveWriter(source, claims, cleaned, facts).write(reader, changed, count)


def patch_archive(
    source: Source, claims: MirrorClaims, cleaned: CleanedPayloads, members: Mapping[int, Member]
) -> Mirror:
    """Put further cleaned payloads into a mirror that is there already; all else in it stays."""
    facts = claims.place.facts(source.path)
    with _buffered(claims.place.open(source.path)) as reader:
        if source.kind == "tar":
            listed = archive_format(source.kind).list_members(reader)
            changed = [member for member in listed if member.position in cleaned.positions]
        else:
            changed = [members[position] for position in cleaned.positions]
        return _ArchiveWriter(source, claims, cleaned, facts).write(reader, changed, None)


def mirror_folder(source: Source, claims: MirrorClaims, cleaned: CleanedPayloads) -> Mirror:
    """Write a folder's mirror.

    The folder is listed again, so that a file which came since it was planned is noticed.

    Raises:
        SourceChangedError: A file is no longer what was planned.
    """
    members = folder_members(source)
    safe = [member for member in members if member.kind != "unsafe"]
    size = _write_files(source, claims, cleaned, safe)
    return Mirror(size, len(safe), withheld=len(members) - len(safe))


def patch_folder(
    source: Source, claims: MirrorClaims, cleaned: CleanedPayloads, members: Mapping[int, Member]
) -> None:
    """Write some more cleaned files into a folder's mirror."""
    _write_files(source, claims, cleaned, [members[position] for position in cleaned.positions])


@dataclass(frozen=True)
class _ArchiveWriter:
    """Writes one archive's mirror from the archive, or from the mirror that is there."""

    source: Source
    claims: MirrorClaims
    cleaned: CleanedPayloads
    facts: ObjectFacts  # what the store is to keep of the mirror

    def write(self, reader: BinaryIO, changed: Sequence[Member], count: int | None) -> Mirror:
        """Write it with `changed` cleaned; what cannot be put in stays as it was."""
        with self.claims.new_file(self.source.path, self.facts) as local:
            refused: AbstractSet[int] = self.cleaned.positions
            if changed:
                refused = self._splice(reader, local, changed)
                kept = {
                    member.position: member for member in changed if member.position not in refused
                }
                if not self._is_sound(local, kept, count):
                    refused = self.cleaned.positions
            if len(refused) == len(self.cleaned.positions):
                _copy(reader, local)
            _keep_times(open_place(self.source.uri), "", self.claims.place, local)
            return Mirror(local.stat().st_size, 1, refused=frozenset(refused))

    def _splice(self, reader: BinaryIO, local: Path, changed: Sequence[Member]) -> set[int]:
        """Write the archive with the cleaned images in it; the positions of those it refused."""
        with local.open("wb") as out:
            return archive_format(self.source.kind).rewrite(reader, out, changed, self.cleaned)

    def _is_sound(self, local: Path, changed: Mapping[int, Member], count: int | None) -> bool:
        """Whether the archive as it was written has all its members, the changed ones under their
        names and with their new sizes.
        """
        members = 0
        as_wanted = 0
        try:
            with local.open("rb") as file:
                for member in archive_format(self.source.kind).list_members(file):
                    members += 1
                    wanted = changed.get(member.position)
                    if wanted is None or member.name != wanted.name:
                        continue
                    if member.size == self.cleaned.length(member.position):
                        as_wanted += 1
        except DamagedArchiveError:
            return False
        return as_wanted == len(changed) and count in (None, members)


def _copy(reader: BinaryIO, local: Path) -> None:
    """Byte for byte, from the beginning."""
    reader.seek(0)
    with local.open("wb") as out:
        shutil.copyfileobj(reader, out, _COPIED_AT_ONCE)


def _write_files(
    source: Source, claims: MirrorClaims, cleaned: CleanedPayloads, members: Sequence[Member]
) -> int:
    """Write these files of a folder, the cleaned ones as such; bytes written."""
    origin, _ = folder_of(source)

    def write(member: Member) -> int:
        is_cleaned = member.position in cleaned.positions
        name = member.name
        path = f"{source.path}/{name}".lstrip("/")
        if not is_cleaned and claims.copy_from(origin, name, path, member.version):
            return member.size
        facts = _carried_facts(claims.place, origin, name)
        if is_cleaned:
            facts = facts.of_changed(name)
        if is_cleaned and facts.may_hold_digests:
            original = origin.read(name, version=member.version)
            facts = facts.with_digests(original, cleaned(member.position))
        with claims.new_file(path, facts) as local:
            if is_cleaned:
                local.write_bytes(cleaned(member.position))
            else:
                with origin.open(member.name, version=member.version) as reader:
                    _copy(reader, local)
            _keep_times(origin, member.name, claims.place, local)
            return local.stat().st_size

    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="publish") as pool:
        return sum(pool.map(write, members))


def _carried_facts(target: Place, origin: Place, path: str) -> ObjectFacts:
    """What a store keeps of an object, where its mirror can keep it too."""
    return NO_FACTS if isinstance(target, LocalPlace) else origin.facts(path)


def _buffered(file: BinaryIO) -> BinaryIO:
    """A file whose `read` gives all bytes that were asked for.

    What reads by ranges may give fewer, like any raw file.
    """
    if isinstance(file, io.RawIOBase):
        return cast(BinaryIO, io.BufferedReader(file, _COPIED_AT_ONCE))
    return file


def _keep_times(origin: Place, path: str, target: Place, local: Path) -> None:
    """Give a local mirror its source's times, and permissions where it has them."""
    if not isinstance(target, LocalPlace):
        return
    if isinstance(origin, LocalPlace):
        shutil.copystat(Path(origin.uri, path) if path else Path(origin.uri), local)
        # Another's file may have been read as a guest: its owner's mode need not let us read it.
        local.chmod(stat.S_IMODE(local.stat().st_mode) | stat.S_IRUSR)
        return
    entry = origin.stat(path)
    if entry is not None:
        os.utime(local, (entry.mtime, entry.mtime))
