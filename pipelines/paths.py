"""Paths in a place: relative to it, with '/' between the parts; '' is the place itself."""

from collections.abc import Iterator


def path_below(folder: str, name: str) -> str:
    """The path of what a folder holds under this name."""
    return f"{folder}/{name}".lstrip("/")


def leads_out(path: str) -> bool:
    """Whether a path, as `posixpath.normpath` gives it, leads out of the place."""
    return path == ".." or path.startswith(("/", "../"))


def folders_above(path: str) -> Iterator[str]:
    """The folders that a path leads through, the innermost first; not ''."""
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
