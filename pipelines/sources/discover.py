"""What sources a URL, folder or glob names."""

import glob
import re
from collections import defaultdict

from fsspec.utils import glob_translate

from demoire.errors import UsageError
from pipelines.names import shown
from pipelines.records import Source
from pipelines.sources.formats.folder import DOTTED_FOLDERS, FolderTally, archive_in
from pipelines.sources.members import is_image_name
from pipelines.storage.open import split_glob
from pipelines.storage.place import Entry, Place


def discover(src: str) -> list[Source]:
    """List all sources under SRC, by path.

    Everything in SRC is in one of them: hidden folders are like any other, and an empty folder is a
    source with nothing but its marker.

    Args:
        src: A folder, archive or image, local or as a URL; or a glob over such.

    Raises:
        UsageError: There is nothing.
        StorageError: SRC cannot be read.
    """
    base, pattern = split_glob(src)
    if not pattern:
        entry = base.stat("")
        if entry is not None:
            return [_single(base, entry)]
    sources = _all_sources(base, pattern)
    if not sources:
        what = "matches nothing" if pattern else "is empty or does not exist"
        raise UsageError(f"{shown(src)} {what}: check the path.")
    return sorted(sources, key=lambda source: (source.path, source.kind, source.uri))


def _all_sources(base: Place, pattern: str) -> list[Source]:
    """Archives, and folders of loose files, among what a pattern takes in."""
    glob_pattern = _Glob(pattern)
    archives: list[Source] = []
    # By folder, and by the glob over the names in it, as both make up the source's URI.
    loose: defaultdict[tuple[str, str], FolderTally] = defaultdict(FolderTally)
    for entry in base.inventory():
        if not entry.path and base.is_file_system:
            continue  # an empty SRC
        name_glob = glob_pattern.name_glob_for(entry.path)
        if name_glob is None:
            continue
        folder, name = _split_safely(entry.path)
        kind = archive_in(entry, name)
        if kind is None:
            loose[folder, name_glob].add(name, entry)
        else:
            uri = _join(base.uri, entry.path)
            archives.append(Source(uri, entry.path, kind, entry.version, entry.size))
    folders = []
    for (folder, name_glob), tally in loose.items():
        folders.append(_folder_source(base, folder, name_glob, tally))
    return archives + folders


def _folder_source(base: Place, folder: str, name_glob: str, tally: FolderTally) -> Source:
    inside = _join(base.uri, folder) if folder else base.uri
    uri = f"{inside.rstrip('/')}/{name_glob}"
    return Source(uri, folder, "folder", tally.version, tally.size)


def _single(place: Place, entry: Entry) -> Source:
    """The source that one object is: an archive, or a folder of one image."""
    folder, _, name = place.uri.rpartition("/")
    kind = archive_in(entry, name)
    if kind is not None:
        return Source(place.uri, name, kind, entry.version, entry.size)
    if entry.kind != "file" or not is_image_name(name):
        raise UsageError(
            f"{shown(place.uri)} is neither a folder, an archive (tar, zip) nor an image."
        )
    tally = FolderTally()
    tally.add(name, entry)
    return Source(f"{folder}/{glob.escape(name)}", "", "folder", tally.version, entry.size)


def _join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path}"


def _split_safely(path: str) -> tuple[str, str]:
    """Folder and name of a path.

    A bucket's '..', '.' and empty folders belong to the name, which is unsafe then.
    """
    parts = path.split("/")
    end_of_folder = len(parts) - 1
    for number, part in enumerate(parts[:-1]):
        if part in DOTTED_FOLDERS:
            end_of_folder = number
            break
    return "/".join(parts[:end_of_folder]), "/".join(parts[end_of_folder:])


class _Glob:
    """A glob over paths; '' takes in everything."""

    def __init__(self, pattern: str) -> None:
        self._expression: re.Pattern[str] | None = None
        if pattern:
            self._expression = re.compile(glob_translate(pattern.rstrip("/")))
        last = pattern.rpartition("/")[2]
        self._name_glob = "" if last in ("*", "**") else last

    def name_glob_for(self, path: str) -> str | None:
        """By which glob over the names in its folder a path is taken in; None if it is not.

        '' stands for all names, as where a folder above was meant, with all that is in it.
        """
        if self._expression is None:
            return ""
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if self._expression.match("/".join(parts[:depth])):
                return ""
        return self._name_glob if self._expression.match(path) else None
