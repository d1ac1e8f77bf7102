"""What sources a URL, folder or glob names."""

import glob
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from re import compile as compile_pattern

from fsspec.utils import glob_translate

from demoire.errors import UsageError
from pipelines.layout import BOOKKEEPING
from pipelines.names import shown
from pipelines.records import Source
from pipelines.sources.members import (
    ArchiveKind,
    archive_kind,
    is_image_name,
    is_unsafe_name,
)
from pipelines.storage.open import open_place, split_glob
from pipelines.storage.place import Entry, Place


def discover(src: str) -> list[Source]:
    """All sources under SRC, by path. Hidden folders and `_demoire` folders are passed by.

    Raises UsageError if there is nothing, StorageError if SRC cannot be read.
    """
    base, pattern = split_glob(src)
    if not pattern and (entry := base.stat("")):
        return [_single(base, entry)]
    archives: list[Source] = []
    folders: dict[tuple[str, str], _Tally] = {}
    match = _matcher(pattern)
    for entry in base.list():
        matched, among = match(entry.path)
        if not matched or _is_hidden(entry.path):
            continue
        folder, name = _split_safely(entry.path)
        if kind := _archive(entry.kind, name):
            archives.append(
                Source(_join(base.uri, entry.path), entry.path, kind, entry.version, entry.size)
            )
        else:
            folders.setdefault((folder, among), _Tally()).add(name, entry)
    loose = [tally.source(base, folder, among) for (folder, among), tally in folders.items()]
    if not archives and not loose:
        what = "matches nothing" if pattern else "is empty or does not exist"
        raise UsageError(f"{shown(src)} {what}: check the path.")
    return sorted(archives + loose, key=lambda source: (source.path, source.kind, source.uri))


def folder_of(source: Source) -> tuple[Place, str]:
    """A folder source's folder, and the glob over the names in it ('' for all)."""
    folder, _, pattern = source.uri.rpartition("/")
    return open_place(folder or "/"), pattern


@dataclass
class _Tally:
    """What is loose in one folder, as it is listed; the order of listing does not matter."""

    digest: int = 0
    size: int = 0

    def add(self, name: str, entry: Entry) -> None:
        facts = f"{name}\0{entry.kind}\0{entry.version}".encode("utf-8", "surrogateescape")
        self.digest = (self.digest + int.from_bytes(hashlib.sha256(facts).digest(), "big")) % (
            1 << 256
        )
        self.size += entry.size

    @property
    def version(self) -> str:
        return f"{self.digest:064x}"

    def source(self, base: Place, folder: str, among: str) -> Source:
        inside = _join(base.uri, folder) if folder else base.uri
        return Source(f"{inside.rstrip('/')}/{among}", folder, "folder", self.version, self.size)


def _single(place: Place, entry: Entry) -> Source:
    folder, _, name = place.uri.rpartition("/")
    if kind := _archive(entry.kind, name):
        return Source(place.uri, name, kind, entry.version, entry.size)
    if entry.kind != "file" or not is_image_name(name):
        raise UsageError(
            f"{shown(place.uri)} is neither a folder, an archive (tar, tar.gz, zip) nor an image."
        )
    tally = _Tally()
    tally.add(name, entry)
    return Source(f"{folder}/{glob.escape(name)}", "", "folder", tally.version, entry.size)


def _archive(entry_kind: str, name: str) -> ArchiveKind | None:
    return archive_kind(name) if entry_kind == "file" and not is_unsafe_name(name) else None


def _join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path}"


def _is_hidden(path: str) -> bool:
    folders = path.split("/")[:-1]
    return any(
        part == BOOKKEEPING or (part.startswith(".") and part.strip(".")) for part in folders
    )


def _split_safely(path: str) -> tuple[str, str]:
    """Folder and name; a bucket's '..', '.' and empty folders belong to the name, which is unsafe
    then.
    """
    parts = path.split("/")
    unsafe = next(
        (i for i, part in enumerate(parts[:-1]) if part in ("", ".", "..")), len(parts) - 1
    )
    return "/".join(parts[:unsafe]), "/".join(parts[unsafe:])


def _matcher(pattern: str) -> Callable[[str], tuple[bool, str]]:
    """Says of a path whether the glob takes it in, and by which glob over the names in its folder
    ('' for all).
    """
    if not pattern:
        return lambda path: (True, "")
    expression = compile_pattern(glob_translate(pattern.rstrip("/")))
    last = pattern.rpartition("/")[2]

    def match(path: str) -> tuple[bool, str]:
        parts = path.split("/")
        if any(expression.match("/".join(parts[:depth])) for depth in range(1, len(parts))):
            return True, ""  # a folder above it was meant, and all that is in it
        return bool(expression.match(path)), "" if last in ("*", "**") else last

    return match


def _loose(place: Place) -> Iterator[tuple[str, Entry]]:
    stray = False
    for entry in place.list(recursive=False):
        if entry.kind != "folder":
            yield entry.path, entry
        stray = stray or (entry.kind == "folder" and entry.name in ("", ".", ".."))
    if stray:  # only a bucket has such; their objects are this folder's, under unsafe names
        yield from (
            (entry.path, entry)
            for entry in place.list()
            if entry.path.split("/")[0] in ("", ".", "..")
        )
