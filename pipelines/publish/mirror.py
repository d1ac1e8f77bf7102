"""An archive's mirror under DST: the same archive, with the cleaned images put in.

An archive is spliced (`pipelines.sources.splice`) into a local temporary file, looked through, and
appears in one step. Where nothing was cleaned, and where the archive is damaged, its mirror is its
own bytes. A folder's mirror is written by `loose_files`; what both need is here.

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
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from demoire.errors import RefusedNameError
from pipelines.destination.claims import MirrorClaims
from pipelines.publish.payloads import CleanedPayloads
from pipelines.records import Member, Source
from pipelines.sources.formats import archive_format
from pipelines.sources.formats.containers import members_at
from pipelines.sources.inner_positions import is_in_paged_file
from pipelines.sources.members import DamagedArchiveError, whole_archive, withheld_member
from pipelines.storage.local import LocalPlace
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.open import open_place
from pipelines.storage.place import Place
from pipelines.storage.way import check_way

_COPIED_AT_ONCE = 1 << 20  # bytes


@dataclass(frozen=True)
class Mirror:
    """What was written."""

    size: int  # bytes
    files: int  # files and links, with those whose place is taken; 1 for an archive
    folders: int = 0  # 1 where the folder itself was listed: an empty one, or a bucket's key
    withheld: int = 0  # objects that are not in it
    # What DST refused although it was planned, with the reasons; a Member at -1 for an archive.
    late: tuple[Member, ...] = ()
    # Positions of what was cleaned but cannot be put into the archive.
    refused: frozenset[int] = frozenset()


def mirror_archive(
    source: Source,
    claims: MirrorClaims,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
    count: int | None,
    *,
    rewrite: bool = False,
) -> Mirror:
    """Write an archive's mirror.

    Args:
        source: The archive.
        claims: What may be written under DST.
        cleaned: What was cleaned of it.
        members: The planned ones, by position.
        count: Of all members in it, without the images in files of several pages; None where that
            is not known.
        rewrite: Whether files of pages are written anew where they could be added to.

    Raises:
        SourceChangedError: The archive is no longer what was planned.
    """
    try:
        check_way(claims.place, source.path.rpartition("/")[0])
        origin = open_place(source.uri)
        if not cleaned.positions and claims.copy_from(origin, "", source.path, source.version):
            return Mirror(source.size, 1)
        facts = carried_facts(claims.place, origin, "")
        writer = _ArchiveWriter(source, claims, cleaned, facts, rewrite)
        with _buffered(origin.open("", version=source.version)) as reader:
            changed = [members[position] for position in cleaned.positions]
            return writer.write(reader, changed, count)
    except RefusedNameError as error:
        late = withheld_member(whole_archive(source, "other"), error.reason)
        return Mirror(0, 0, withheld=1, late=(late,))


def patch_archive(
    source: Source,
    claims: MirrorClaims,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
    *,
    rewrite: bool = False,
) -> Mirror:
    """Put further cleaned payloads into a mirror that is there already; all else in it stays.

    Args:
        source: The archive.
        claims: What may be written under DST.
        cleaned: What was cleaned of it this time.
        members: The images that were, by position.
        rewrite: As in `mirror_archive`.
    """
    facts = claims.place.facts(source.path)
    writer = _ArchiveWriter(source, claims, cleaned, facts, rewrite)
    with _buffered(claims.place.open(source.path)) as reader:
        if source.kind == "tar":
            changed = members_at(archive_format(source.kind), reader, cleaned.positions)
            for position in cleaned.positions:
                if is_in_paged_file(position):
                    changed.append(members[position])
        else:
            changed = [members[position] for position in cleaned.positions]
        return writer.write(reader, changed, None)


@dataclass(frozen=True)
class _ArchiveWriter:
    """Writes one archive's mirror from the archive, or from the mirror that is there."""

    source: Source
    claims: MirrorClaims
    cleaned: CleanedPayloads
    facts: ObjectFacts  # what the store is to keep of the mirror
    rewrite: bool  # files of pages are written anew where they could be added to

    def write(self, reader: BinaryIO, changed: Sequence[Member], count: int | None) -> Mirror:
        """Write it with `changed` cleaned; what cannot be put in stays as it was."""
        with self.claims.new_file(self.source.path, self.facts) as local:
            refused: AbstractSet[int] = self.cleaned.positions
            if changed:
                refused = self._splice(reader, local, changed)
                kept = {}
                for member in changed:
                    # What was put into a file of several pages was compared when it was put there.
                    is_listed = not is_in_paged_file(member.position)
                    if is_listed and member.position not in refused:
                        kept[member.position] = member
                if not self._is_sound(local, kept, count):
                    refused = self.cleaned.positions
            if len(refused) == len(self.cleaned.positions):
                copy_whole(reader, local)
            keep_times(open_place(self.source.uri), "", self.claims.place, local)
            return Mirror(local.stat().st_size, 1, refused=frozenset(refused))

    def _splice(self, reader: BinaryIO, local: Path, changed: Sequence[Member]) -> set[int]:
        """Write the archive with the cleaned images in it; the positions of those it refused."""
        with local.open("wb") as out:
            return archive_format(self.source.kind).rewrite(
                reader, out, changed, self.cleaned, rewrite_files=self.rewrite
            )

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


def copy_whole(reader: BinaryIO, local: Path) -> None:
    """Byte for byte, from the beginning."""
    reader.seek(0)
    with local.open("wb") as out:
        shutil.copyfileobj(reader, out, _COPIED_AT_ONCE)


def carried_facts(target: Place, origin: Place, path: str) -> ObjectFacts:
    """What a store keeps of an object, where its mirror can keep it too."""
    return NO_FACTS if isinstance(target, LocalPlace) else origin.facts(path)


def _buffered(file: BinaryIO) -> BinaryIO:
    """A file whose `read` gives all bytes that were asked for.

    What reads by ranges may give fewer, like any raw file.
    """
    if isinstance(file, io.RawIOBase):
        return cast(BinaryIO, io.BufferedReader(file, _COPIED_AT_ONCE))
    return file


def keep_times(origin: Place, path: str, target: Place, local: Path) -> None:
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
