"""What is to be said of one archive that was changed: its own digests, and checksums inside it.

Lists of checksums and bags inside an archive are not rewritten: they are named in the report. So
are the `sha256` fields of a WebDataset's JSON files, where they are those of an image that changed.

Costs two reads of the archive for its digests, one of each file of several pages that changed in it
and of its mirror, and a listing of the members; where PREMIS tells digests other than SHA-256 of
files that it names in its own way, one read of what changed for each kind. That is done once for
each publication of it.
"""

import json
import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from demoire.errors import DemoireError, ImageError
from pipelines.fixity.findings import ChangedFile, ChecksumList
from pipelines.fixity.lists import ListedDigest, is_list_name, listed_digests
from pipelines.fixity.stored_file import StoredFile
from pipelines.names import as_text
from pipelines.records import Member, Source
from pipelines.sources.formats import archive_format
from pipelines.sources.read import read_members
from pipelines.storage.digests import new_digest
from pipelines.storage.open import open_place
from pipelines.storage.place import Entry, Place

_LARGEST_LIST = 64 << 20  # bytes
_EXAMPLES = 5


@dataclass(frozen=True)
class LookedThrough:
    """One archive."""

    archive: ChangedFile
    lists: tuple[ChecksumList, ...]
    files: tuple[ChangedFile, ...]  # of several pages, in it


def look_through(
    place: Place, source: Source, mirror: Entry, changed: Mapping[str, ChangedFile]
) -> LookedThrough:
    """Hash an archive and its mirror, and find the checksums in it that no longer hold.

    Args:
        place: DST.
        source: The archive.
        mirror: Its mirror, as it is now.
        changed: The members that changed, by name as text; files of several pages without their
            digests and sizes.

    Raises:
        StorageError: One of the two cannot be read.
    """
    archive = ChangedFile(
        path=as_text(source.path),
        member="",
        sha256_before=StoredFile(open_place(source.uri), "").digest("sha256"),
        sha256_after=StoredFile(place, source.path).digest("sha256"),
        bytes_before=source.size,
        bytes_after=mirror.size,
        source_version=source.version,
    )
    mirrored = replace(source, uri=place.child(source.path).uri, version=mirror.version)
    files: tuple[ChangedFile, ...] = ()
    lists: tuple[ChecksumList, ...] = ()
    try:
        files = tuple(_files_of_pages(source, mirrored, changed))
        known = {**changed, **{file.member: file for file in files}}
        lists = tuple(_lists_in(mirrored, known, _Originals(source, known)))
    except (DemoireError, EOFError):
        # What publishing could write can be read, as a rule; a report is not the place to stop.
        pass
    return LookedThrough(archive, lists, files)


class _Hasher:
    """Takes in a file for its digest and size."""

    def __init__(self, algorithm: str) -> None:
        self.digest = new_digest(algorithm)
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self.digest.update(data)
        self.size += len(data)
        return len(data)


def _files_of_pages(
    source: Source, mirrored: Source, changed: Mapping[str, ChangedFile]
) -> Iterator[ChangedFile]:
    """The files of several pages among what changed, with their digests and sizes."""
    names = [name for name, file in changed.items() if not file.sha256_after]
    if not names:
        return
    before = _hashed(source, names)
    after = _hashed(mirrored, names)
    for name in names:
        if name in before and name in after:
            yield replace(
                changed[name],
                sha256_before=before[name].digest.hexdigest(),
                sha256_after=after[name].digest.hexdigest(),
                bytes_before=before[name].size,
                bytes_after=after[name].size,
            )


def _hashed(
    source: Source, names: Collection[str], algorithm: str = "sha256"
) -> dict[str, _Hasher]:
    """Members of an archive, by name as text, unpacked and hashed; a piece in memory at a time."""
    form = archive_format(source.kind)
    hashed = {}
    with open_place(source.uri).open("", version=source.version) as reader:
        chosen = [one for one in form.list_members(reader) if as_text(one.name) in names]
        for member in chosen:
            hasher = _Hasher(algorithm)
            form.unpack(reader, member, hasher)
            hashed[as_text(member.name)] = hasher
    return hashed


class _Originals:
    """The members that changed, as they were: found by a digest of any kind."""

    def __init__(self, source: Source, changed: Mapping[str, ChangedFile]) -> None:
        self._source = source
        self._changed = changed
        self._digests: dict[str, dict[str, str]] = {}  # by algorithm, then by member

    def with_digest(self, listed: ListedDigest) -> str:
        """The member that had a digest; '' where none had it, or nobody can tell.

        Costs one read of the archive for each algorithm but SHA-256.
        """
        if not listed.can_be_made:
            return ""
        if listed.algorithm not in self._digests:
            self._digests[listed.algorithm] = self._digests_of_all(listed.algorithm)
        for member, digest in self._digests[listed.algorithm].items():
            if listed.is_same(digest):
                return member
        return ""

    def _digests_of_all(self, algorithm: str) -> dict[str, str]:
        if algorithm == "sha256":
            return {member: file.sha256_before for member, file in self._changed.items()}
        hashed = _hashed(self._source, self._changed, algorithm)
        return {member: hasher.digest.hexdigest() for member, hasher in hashed.items()}


def _lists_in(
    source: Source, changed: Mapping[str, ChangedFile], originals: _Originals
) -> Iterator[ChecksumList]:
    by_key: dict[str, ChangedFile] = {}
    for name, file in changed.items():
        by_key.setdefault(_key_of(name), file)
    with open_place(source.uri).open("", version=source.version) as reader:
        chosen = []
        for member in archive_format(source.kind).list_members(reader):
            if member.size <= _LARGEST_LIST and _may_list(member, by_key):
                chosen.append(member)
    for member, content in read_members(source, chosen):
        if isinstance(content, ImageError):
            continue
        name = as_text(member.name)
        if is_list_name(name):
            yield from _stale_list(source, name, bytes(content), changed, originals)
        else:
            yield from _stale_field(source, name, bytes(content), by_key[_key_of(name)])


def _may_list(member: Member, by_key: Mapping[str, ChangedFile]) -> bool:
    name = as_text(member.name)
    return is_list_name(name) or (name.endswith(".json") and _key_of(name) in by_key)


def _key_of(name: str) -> str:
    """A WebDataset's key: everything before the first dot of the last part of a name."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _stale_list(
    source: Source,
    name: str,
    content: bytes,
    changed: Mapping[str, ChangedFile],
    originals: _Originals,
) -> Iterator[ChecksumList]:
    by_path = {posixpath.normpath(member): file for member, file in changed.items()}
    names: list[str] = []
    algorithm = ""
    for listed in listed_digests(name, content):
        path = as_text(listed.path)
        if listed.is_by_name and path not in by_path:
            path = posixpath.normpath(originals.with_digest(listed))
        file = by_path.get(path)
        if file is None:
            continue
        # Of other algorithms the bytes would be needed; that the list held before is assumed.
        if listed.algorithm != "sha256" or listed.digest == file.sha256_before:
            algorithm = listed.algorithm
            if path not in names:
                names.append(path)
    if names:
        yield _stale(source, name, algorithm, names)


def _stale_field(
    source: Source, name: str, content: bytes, file: ChangedFile
) -> Iterator[ChecksumList]:
    try:
        facts = json.loads(content)
    except ValueError:
        return
    if isinstance(facts, dict) and facts.get("sha256") == file.sha256_before:
        yield _stale(source, name, "sha256", [file.member])


def _stale(source: Source, name: str, algorithm: str, names: list[str]) -> ChecksumList:
    return ChecksumList(
        path=as_text(source.path),
        member=name,
        algorithm=algorithm,
        files=len(names),
        wrong_before=0,
        state="stale",
        examples=tuple(names[:_EXAMPLES]),
    )
