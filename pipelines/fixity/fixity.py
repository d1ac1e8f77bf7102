"""Which checksums the cleaning made wrong, and putting them right.

An archive keeps checksums of its files, and a cleaned file has others. At the end of a run that
published something this writes down what changed (`fixity.csv`), names the lists that no longer
hold, and with `--fixity update` rewrites those that lie in the mirror as files, so that `sha256sum
-c` and BagIt's validators pass again. Lists inside archives are named only.

Lists are looked for in the folders of changed files, in those above them, and in folders called
`metadata` beside these. Costs a read of the report tables and a row in memory for each changed
file, a listing of those folders, two reads of each list, and for each newly published archive two
reads of it (`pipelines.fixity.archives`).
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from demoire.errors import StorageError
from pipelines.destination.claims import MirrorClaims
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan
from pipelines.fixity.changes import Changes, gather_changes, path_in_source
from pipelines.fixity.findings import (
    ChangedFile,
    Findings,
    FixityMode,
    ListState,
    read_findings,
    write_changed,
    write_findings,
)
from pipelines.fixity.lists import BAG_INFO, differ_in_digests_only, is_list_name, listed_name
from pipelines.fixity.loose import LooseList, LooseLists
from pipelines.fixity.xml_lists import is_xml_list_name, without_described_values
from pipelines.layout import BOOKKEEPING
from pipelines.names import as_text
from pipelines.paths import folders_above
from pipelines.records import Source
from pipelines.sources.formats.folder import folder_of
from pipelines.sources.given import all_given, src_of
from pipelines.storage.local import LocalPlace

_LISTED_AT_ONCE = 8  # folders
_METADATA = "metadata"  # where E-ARK and Archivematica keep PREMIS, beside the files or above them


def check_fixity(destination: Destination, plan: Plan, mode: FixityMode) -> Findings:
    """Find the checksums under DST that cleaning made wrong, and keep what was found.

    Args:
        destination: Where the sources are published.
        plan: Their plan.
        mode: Whether lists in the mirror are rewritten.

    Raises:
        StorageError: The store cannot be read or written.
    """
    given = tuple(all_given(plan.src, plan.also))
    changes = gather_changes(destination, plan)
    return _FixityCheck(destination, mode, changes, given).run()


def is_fixity_due(destination: Destination, mode: FixityMode) -> bool:
    """Whether lists that were only reported so far are to be rewritten now."""
    if mode == "report":
        return False
    before = read_findings(destination.place)
    return before is None or (before.mode == "report" and bool(before.stale))


@dataclass(frozen=True)
class _FixityCheck:
    destination: Destination
    mode: FixityMode
    changes: Changes
    srcs: tuple[str, ...]  # that the plan was made for

    def run(self) -> Findings:
        lists = list(self.changes.lists)
        rewritten: list[ChangedFile] = []
        found = self._lists_beside(self.changes.loose)
        finder = LooseLists(self.changes.loose, self._original)
        if self.mode == "update":
            for one in finder.settle(found):
                state = self._put_right(one)
                if state == "updated":
                    rewritten.append(_rewritten(one))
                if one.path.rpartition("/")[2] != BAG_INFO:
                    lists.append(one.to_checked(state))
        else:
            for one in finder.first_round(found):
                lists.append(one.to_checked(self._state_now(one)))
        loose = [finder.facts_of(path) for path in self.changes.loose]
        changed = loose + self.changes.members + rewritten
        write_changed(self.destination.place, changed)
        ordered = sorted(lists, key=lambda checked: (checked.path, checked.member))
        findings = Findings(self.mode, len(changed), tuple(ordered))
        write_findings(self.destination.place, findings)
        return findings

    def _lists_beside(self, changed: Iterable[str]) -> list[str]:
        """Paths of the lists in the folders of these files, and in those above them."""
        folders = {""}
        for path in changed:
            folders.update(folders_above(path))
        found: set[str] = set()
        with ThreadPoolExecutor(_LISTED_AT_ONCE, thread_name_prefix="fixity") as pool:
            for paths in pool.map(self._lists_in, sorted(folders)):
                found.update(paths)
        return sorted(found)

    def _lists_in(self, folder: str) -> list[str]:
        if folder.partition("/")[0] == BOOKKEEPING:
            return []
        place = self.destination.place
        names: set[str] = set()
        for entry in place.list(folder, recursive=False):
            if entry.kind == "file":
                names.add(entry.path)
            elif entry.kind == "folder" and entry.name.lower() == _METADATA:
                names.update(one.path for one in place.list(entry.path) if one.kind == "file")
        return sorted(_lists_among(names, self.changes.loose.keys()))

    def _original(self, path: str) -> bytes:
        """A list as it is in SRC; as it is in the mirror where SRC does not have it."""
        source = self._source_of(path)
        if source is not None:
            origin, _ = folder_of(source)
            with suppress(StorageError):
                return origin.read(path_in_source(source, path))
        return self.destination.place.read(path)

    def _source_of(self, path: str) -> Source | None:
        """The folder in which a file of the mirror lies."""
        for folder in (*folders_above(path), ""):
            if folder in self.changes.folders:
                return self.changes.folders[folder]
        return None

    def _state_now(self, one: LooseList) -> ListState:
        """Whether an earlier run has rewritten the mirror's list, so that it holds."""
        is_rewritten = one.wanted != one.original
        if is_rewritten and self.destination.place.read(one.path) == one.wanted:
            return "updated"
        return "stale"

    def _put_right(self, one: LooseList) -> ListState:
        """Make the mirror's list what it should be; whether it holds then.

        A list that somebody has edited in the mirror stays.
        """
        source = self._source_of(one.path)
        if one.wanted == one.original or source is None:
            return "stale"
        place = self.destination.place
        current = place.read(one.path)
        if current == one.wanted:
            return "updated"
        if not _differ_as_rewritten(one.path, current, one.wanted):
            return "stale"
        claims = MirrorClaims(self.destination, source, src_of(source, self.srcs))
        with claims.new_file(one.path, place.facts(one.path)) as local:
            local.write_bytes(one.wanted)
            if isinstance(place, LocalPlace):
                shutil.copystat(Path(place.uri, one.path), local)
        claims.record(claims.new_record(whole=False))
        return "stale" if one.path in claims.foreign else "updated"


def _differ_as_rewritten(path: str, current: bytes, wanted: bytes) -> bool:
    """Whether a list in the mirror differs in nothing but what rewriting changes."""
    if is_xml_list_name(path):
        return without_described_values(current) == without_described_values(wanted)
    return differ_in_digests_only(current, wanted)


def _lists_among(names: AbstractSet[str], changed: AbstractSet[str]) -> Iterator[str]:
    """The lists among a folder's files, without those of one file that did not change."""
    for path in names:
        if path.rpartition("/")[2] == BAG_INFO:
            yield path
        elif is_list_name(path):
            of_one = listed_name(path)
            if of_one == path or of_one not in names or of_one in changed:
                yield path


def _rewritten(one: LooseList) -> ChangedFile:
    before = hashlib.sha256(one.original).hexdigest()
    after = hashlib.sha256(one.wanted).hexdigest()
    return ChangedFile(as_text(one.path), "", before, after, len(one.original), len(one.wanted))
