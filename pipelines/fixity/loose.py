"""The lists of checksums that lie in the mirror as files: which hold, and what they should say.

A list is worked out from the one in SRC, as often as one likes with the same result: each digest
that held of an original is replaced by that of the mirror's file. One that did not hold before
stays as it was, because it may tell of damage.

A list may name other lists: a bag's tag manifest names its manifests and its bag-info.txt, whose
Payload-Oxum counts the payload's bytes. So all are worked out again until none changes any more.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from demoire.errors import StorageError
from pipelines.fixity.findings import ChangedFile, ChecksumList, ListState
from pipelines.fixity.lists import (
    BAG_INFO,
    ListedDigest,
    is_payload_manifest,
    listed_digests,
    new_values,
    with_payload_bytes,
)
from pipelines.fixity.stored_file import StoredFile
from pipelines.fixity.xml_lists import described_files, is_xml_list_name
from pipelines.fixity.xml_values import Value, with_other_values
from pipelines.names import as_text
from pipelines.storage.digests import new_digest

_ROUNDS = 5  # lists that name one another's digests never come to rest
_EXAMPLES = 5


@dataclass(frozen=True)
class LooseFile:
    """A changed file that is an object of its own."""

    facts: ChangedFile
    before: StoredFile
    after: StoredFile


@dataclass
class LooseList:
    """A list of checksums in the mirror.

    Attributes:
        path: Under DST, as stored.
        original: Its content in SRC.
        wanted: The content that holds of the mirror, as far as it is worked out.
        stale: Paths, as stored, of changed files of which the original held.
        wrong_before: How many changed files it did not fit before either.
        algorithm: Of its digests; '' for a bag's info.
        has_stale_left: Whether a digest of a changed file is of an algorithm without code here.
    """

    path: str
    original: bytes
    wanted: bytes
    stale: list[str] = field(default_factory=list)
    wrong_before: int = 0
    algorithm: str = ""
    has_stale_left: bool = False

    def to_checked(self, state: ListState) -> ChecksumList:
        """What is told of the list, once it is as it should be, or not."""
        if self.has_stale_left:
            state = "stale"
        return ChecksumList(
            path=as_text(self.path),
            member="",
            algorithm=self.algorithm,
            files=len(self.stale),
            wrong_before=self.wrong_before,
            state=state,
            examples=tuple(as_text(path) for path in self.stale[:_EXAMPLES]),
        )


class _ChangedFiles:
    """The changed files that are objects of their own, and their digests once they are known."""

    def __init__(self, files: Mapping[str, LooseFile]) -> None:
        self._files = files
        self._digests: dict[tuple[str, str, str], str] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_sha256: dict[str, str] = {}
        for path, file in files.items():
            self._by_name.setdefault(posixpath.basename(path), []).append(path)
            self._by_sha256[file.facts.sha256_before] = path

    def meant_by(self, listed: ListedDigest) -> ListedDigest | None:
        """A digest with the path of the file that it is of.

        Where only a name is certain it is of the changed file that had this digest, among those of
        that name, or all. If it is of none, it may be that of an earlier version of the file, and
        is passed over: None.
        """
        if not listed.is_by_name or not listed.can_be_made:
            return listed
        paths = list(self._by_name.get(posixpath.basename(listed.path), ()))
        if listed.digest in self._by_sha256:
            paths.append(self._by_sha256[listed.digest])
        for path in paths:
            found = replace(listed, path=path)
            pair = self.digests(found)
            if pair is not None and found.is_same(pair[0]):
                return found
        return None

    def has(self, path: str) -> bool:
        """Whether this file changed."""
        return path in self._files

    def sizes(self, path: str) -> tuple[int, int] | None:
        """Bytes of a file before and after; None where it did not change."""
        file = self._files.get(path)
        return None if file is None else (file.facts.bytes_before, file.facts.bytes_after)

    def growth_below(self, folder: str) -> int:
        """By how many bytes the files in a folder, which ends with a slash, have grown."""
        growth = 0
        for path, file in self._files.items():
            if path.startswith(folder):
                growth += file.facts.bytes_after - file.facts.bytes_before
        return growth

    def digests(self, listed: ListedDigest) -> tuple[str, str] | None:
        """The digests of a file that is named; None where it did not change or cannot be read."""
        file = self._files.get(listed.path)
        if file is None:
            return None
        facts = file.facts
        if listed.algorithm == "sha256" and facts.sha256_before and facts.sha256_after:
            return facts.sha256_before, facts.sha256_after
        try:
            before = self._digest(file.before, listed, "before")
            return before, self._digest(file.after, listed, "after")
        except StorageError:
            return None

    def facts_of(self, path: str) -> ChangedFile:
        """What is told of a changed file, with the digests that were asked for so far."""
        facts = self._files[path].facts
        before = self._digests.get((path, "sha256", "before"), "")
        after = self._digests.get((path, "sha256", "after"), "")
        return replace(
            facts,
            sha256_before=facts.sha256_before or before,
            sha256_after=facts.sha256_after or after,
        )

    def _digest(self, file: StoredFile, listed: ListedDigest, when: str) -> str:
        key = (listed.path, listed.algorithm, when)
        if key not in self._digests:
            self._digests[key] = file.digest(listed.algorithm)
        return self._digests[key]


class LooseLists:
    """All lists of the mirror, and what they should say."""

    def __init__(self, files: Mapping[str, LooseFile], original_of: Callable[[str], bytes]) -> None:
        """See the class.

        Args:
            files: What changed, by path as stored.
            original_of: The content of a list in SRC, by its path.
        """
        self._files = _ChangedFiles(files)
        self._original_of = original_of
        self._lists: dict[str, LooseList] = {}

    def settle(self, paths: Iterable[str]) -> list[LooseList]:
        """Work out what the lists should say.

        Args:
            paths: Of all lists, and of bag-info.txt beside manifests.

        Returns:
            Those that should say something else than their originals, and those that were wrong.
        """
        for path in paths:
            content = self._original_of(path)
            self._lists[path] = LooseList(path, content, content)
        for _ in range(_ROUNDS):
            before = {path: one.wanted for path, one in self._lists.items()}
            for one in self._lists.values():
                if one.path.rpartition("/")[2] == BAG_INFO:
                    one.wanted = with_payload_bytes(one.original, self._growth(one.path))
                else:
                    self._work_out(one)
            if all(before[path] == one.wanted for path, one in self._lists.items()):
                break
        told = []
        for one in self._lists.values():
            if one.stale or one.wanted != one.original or one.wrong_before:
                told.append(one)
        return told

    def first_round(self, paths: Iterable[str]) -> list[LooseList]:
        """The lists that do not hold as they are: nothing is rewritten, so no list changes."""
        stale = []
        for path in paths:
            content = self._original_of(path)
            one = LooseList(path, content, content)
            if path.rpartition("/")[2] != BAG_INFO:
                self._work_out(one)
            if one.stale or one.wrong_before:
                stale.append(one)
        return stale

    def facts_of(self, path: str) -> ChangedFile:
        """What is told of a changed file, with the digests that the lists made known."""
        return self._files.facts_of(path)

    def _work_out(self, one: LooseList) -> None:
        one.stale = []
        one.wrong_before = 0
        one.has_stale_left = False
        digests = {}
        by_name: dict[str, str] = {}  # the files that are meant by names alone
        for told in listed_digests(one.path, one.original):
            listed = self._files.meant_by(told)
            if listed is None or listed.path == one.path:
                continue
            if not listed.can_be_made:
                self._note_left(one, listed)
                continue
            pair = self._before_and_after(listed)
            if pair is None:
                continue
            before, after = pair
            if listed.is_same(before):
                _note_stale(one, listed)
                by_name[told.path] = listed.path
                digests[listed] = after
            else:
                one.wrong_before += 1
        values = new_values(one.original, digests)
        if is_xml_list_name(one.path):
            values |= self._new_sizes(one, by_name)
        one.wanted = with_other_values(one.original, values)

    def _note_left(self, one: LooseList, listed: ListedDigest) -> None:
        """Note a digest that no longer holds if its file has changed, and cannot be made anew."""
        if self._has_changed(listed.path):
            _note_stale(one, listed)
            one.has_stale_left = True

    def _has_changed(self, path: str) -> bool:
        named = self._lists.get(path)
        if named is not None:
            return named.wanted != named.original
        return self._files.has(path)

    def _new_sizes(self, one: LooseList, by_name: Mapping[str, str]) -> dict[Value, str]:
        """The sizes of changed files in an XML file, as far as they held before.

        Args:
            one: The list.
            by_name: The files that are meant by names alone, whose digests held.
        """
        sizes = {}
        for file in described_files(one.path, one.original):
            path = by_name.get(file.path, "") if file.is_by_name else file.path
            pair = self._sizes(path)
            if pair is None or file.size is None or path == one.path:
                continue
            before, after = pair
            if file.size.text.strip() != str(before):
                one.wrong_before += 1
            elif before != after:
                sizes[file.size] = str(after)
                if path not in one.stale:
                    one.stale.append(path)
        return sizes

    def _sizes(self, path: str) -> tuple[int, int] | None:
        """Bytes of a file before and after; None where it did not change."""
        named = self._lists.get(path)
        if named is not None:
            return len(named.original), len(named.wanted)
        return self._files.sizes(path)

    def _before_and_after(self, listed: ListedDigest) -> tuple[str, str] | None:
        """The digests of a file that is named; None where it did not change."""
        named = self._lists.get(listed.path)
        if named is not None:
            if not self._has_changed(listed.path):
                return None
            before = _digest_of(named.original, listed.algorithm)
            return before, _digest_of(named.wanted, listed.algorithm)
        return self._files.digests(listed)

    def _growth(self, bag_info: str) -> int:
        """By how many bytes a bag's payload grew."""
        folder = posixpath.dirname(bag_info)
        if not _is_bag(folder, self._lists):
            return 0
        return self._files.growth_below(posixpath.join(folder, "data/"))


def _note_stale(one: LooseList, listed: ListedDigest) -> None:
    """Note a changed file of which the list held; it may tell several digests of that."""
    if listed.path not in one.stale:
        one.stale.append(listed.path)
    one.algorithm = listed.algorithm


def _digest_of(content: bytes, algorithm: str) -> str:
    digest = new_digest(algorithm)
    digest.update(content)
    return digest.hexdigest()


def _is_bag(folder: str, lists: Iterable[str]) -> bool:
    """Whether a folder has a manifest of a bag's payload among these lists."""
    return any(is_payload_manifest(path) and posixpath.dirname(path) == folder for path in lists)
