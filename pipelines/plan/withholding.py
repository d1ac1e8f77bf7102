"""What DST's mirror cannot hold, found before any work: it is withheld, each with a reason.

One bad name must not stop a night's run when everything is cleaned and is to be published. So each
name is held against DST while planning: whether it is too long or has characters that DST refuses,
whether a file would have the name of a folder, whether two names differ only in case where DST does
not tell them apart, and whether a link leads to something that the mirror holds.

What cannot be known before (another program puts a file there meanwhile, a store has rules of its
own) is found when the object is written, and withheld then (`pipelines.publish.mirror`).

Memory holds the folders of all sources, and every name only where DST does not tell case apart.
"""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from demoire.errors import UsageError
from demoire.reasons import Reason
from pipelines.layout import BOOKKEEPING, MANIFEST
from pipelines.names import shown
from pipelines.paths import folders_above, path_below
from pipelines.records import Member, Source
from pipelines.sources.formats.folder import folder_of
from pipelines.sources.inner_positions import container_position, is_inner
from pipelines.sources.members import withheld_member
from pipelines.storage.file_names import tells_case_apart
from pipelines.storage.local import LocalPlace
from pipelines.storage.place import Place


def check_reserved(sources: Sequence[Source]) -> None:
    """Check that no source has its place where the bookkeeping is.

    A SRC that is itself a mirror has notes of its own there. They are about another run, and are
    withheld. Anything else of that name cannot be mirrored, and nobody would look for it under
    another name.

    Raises:
        UsageError: SRC holds a folder of that name at its top, and it is not the notes of a run.
    """
    reserved = [source for source in sources if _is_reserved(source.path)]
    if reserved and all(source.path != MANIFEST for source in reserved):
        raise UsageError(
            f"{shown(reserved[0].uri)} would lie in {BOOKKEEPING}, where DST keeps the notes of "
            "runs: rename that folder, or give SRC as a glob that leaves it out."
        )


class Withholding:
    """Says of sources and their members what DST cannot hold.

    Each source is to be asked about once, and in the same order every time: of two names that
    differ only in case the first one stays.
    """

    def __init__(self, place: Place, sources: Sequence[Source]) -> None:
        self._place = place
        self._links = _LinkTargets(sources)
        self._folders = _folders_of(sources) if place.is_file_system else set()
        self._seen: _SeenNames | None = None
        if isinstance(place, LocalPlace) and not tells_case_apart(place.uri):
            self._seen = _SeenNames(self._folders)

    def of_archive(self, source: Source) -> Reason | None:
        """Why an archive's mirror cannot be written; None if it can."""
        if _is_reserved(source.path):
            return Reason.BOOKKEEPING
        return self._of_file(source.path)

    def applied_to(self, source: Source, members: Sequence[Member]) -> list[Member]:
        """The members of a folder, those as `withheld` that DST cannot hold.

        Pages, which are behind all files, go with their file.
        """
        held = []
        without_mirror = set()
        for member in members:
            if is_inner(member.position):
                if container_position(member.position) not in without_mirror:
                    held.append(member)
                continue
            reason = None
            if member.kind != "withheld":
                reason = self._of_member(source, member)
            if reason is not None:
                without_mirror.add(member.position)
                member = withheld_member(member, reason)
            held.append(member)
        return held

    def _of_member(self, source: Source, member: Member) -> Reason | None:
        if _is_reserved(source.path):
            return Reason.BOOKKEEPING
        if member.kind == "marker":
            return self._of_marker(source, member)
        if member.kind == "link":
            reason = self._of_link(source, member)
            if reason is not None:
                return reason
        return self._of_file(path_below(source.path, member.name))

    def _of_file(self, path: str) -> Reason | None:
        if self._place.refuses(path):
            return Reason.NAME_REFUSED
        if path in self._folders or _folded(path) == BOOKKEEPING:
            return Reason.NAME_TAKEN
        if self._seen is not None and self._seen.has_another(path):
            return Reason.NAME_TAKEN
        return None

    def _of_marker(self, source: Source, member: Member) -> Reason | None:
        """A folder of a file system has no bytes of its own, and some stores have no folders."""
        has_bytes = member.size > 0
        if not self._place.keeps_folders or (has_bytes and self._place.is_file_system):
            return Reason.NAME_REFUSED
        return Reason.NAME_REFUSED if self._place.refuses(source.path) else None

    def _of_link(self, source: Source, member: Member) -> Reason | None:
        if not self._links.lead_into_mirror(source, member):
            return Reason.LINK_OUTSIDE
        return None if self._place.is_file_system else Reason.LINK_NOT_KEPT


class _LinkTargets:
    """What links may lead to: the files and folders of all sources, by their real paths."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._paths: dict[str, str] = {}  # under DST, of folders and archives
        self._globs: dict[str, list[str]] = {}  # over the names in a folder
        self._is_filled = False

    def lead_into_mirror(self, source: Source, link: Member) -> bool:
        """Whether a link, written as it is, leads to the mirror of what it leads to in SRC.

        One that leads to nothing, but inside SRC, leads to nothing in the mirror as well.
        """
        if not self._is_filled:
            self._fill()
        folder, _ = folder_of(source)
        target = os.path.normpath(f"{os.path.realpath(folder.uri)}/{link.target}")
        in_mirror = os.path.normpath(f"{source.path or '.'}/{link.target}")
        if self._paths.get(target) == in_mirror:
            return True
        parent, _, name = target.rpartition("/")
        if os.path.lexists(target):
            globs = self._globs.get(parent, [])
            if not any(fnmatchcase(name, pattern or "*") for pattern in globs):
                return False
            return os.path.normpath(f"{self._paths[parent]}/{name}") == in_mirror
        while parent and parent not in self._paths:
            parent = parent.rpartition("/")[0]
        below = target[len(parent) + 1 :]
        known = self._paths.get(parent)
        return known is not None and os.path.normpath(f"{known}/{below}") == in_mirror

    def _fill(self) -> None:
        """Look up the real paths of all sources; only a SRC with links pays for that."""
        self._is_filled = True
        for source in self._sources:
            if source.kind == "folder":
                folder, pattern = folder_of(source)
                if not isinstance(folder, LocalPlace):
                    continue
                real = os.path.realpath(folder.uri)
                self._globs.setdefault(real, []).append(pattern)
                path = source.path
            else:
                parent, _, name = source.uri.rpartition("/")
                if "://" in parent:
                    continue
                real = os.path.realpath(parent)
                self._paths[f"{real}/{name}"] = source.path
                path = source.path.rpartition("/")[0]
            self._add_folders(real, path)

    def _add_folders(self, real: str, path: str) -> None:
        """Note a folder, and those above it up to the top of SRC."""
        while real not in self._paths:
            self._paths[real] = path or "."
            if not path:
                return
            path = path.rpartition("/")[0]
            real = real.rpartition("/")[0]


class _SeenNames:
    """The names under a DST that does not tell case apart."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._names: dict[str, str] = {}  # the first of each, by what all of them are to DST
        for folder in sorted(folders):
            self._names.setdefault(_folded(folder), folder)

    def has_another(self, path: str) -> bool:
        """Whether a file's path is that of another one, or leads through another folder."""
        for folder in folders_above(path):
            if self._names.get(_folded(folder), folder) != folder:
                return True
        return self._names.setdefault(_folded(path), path) != path


def _folders_of(sources: Iterable[Source]) -> set[str]:
    """All folders that the mirrors of these sources need, by their paths under DST."""
    folders: set[str] = set()
    for source in sources:
        if source.kind == "folder" and source.path:
            folders.add(source.path)
        folders.update(folders_above(source.path))
    return folders


def _is_reserved(path: str) -> bool:
    """Whether a mirror at this path would lie in the bookkeeping."""
    return _folded(path.partition("/")[0]) == BOOKKEEPING


def _folded(name: str) -> str:
    """What a name is to a file system that tells apart neither case nor composed letters."""
    return unicodedata.normalize("NFC", name).casefold()
