"""From a URL to a place, and whether source and destination go together."""

import os
import re
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from demoire.errors import UsageError
from pipelines.layout import probe_object
from pipelines.names import redact, shown
from pipelines.storage.local import LocalPlace
from pipelines.storage.place import Place

_WILDCARD = re.compile(r"[*?\[]")
_USER_AND_PASSWORD = re.compile(r"[^/]*:[^/]*@")
_QUERY = re.compile(r"\?[^/]*=")  # a signature, as a rule; a '?' of a glob has no '=' behind it


def open_place(uri: str) -> Place:
    """The place that a path or URL names. Touches nothing yet.

    Args:
        uri: A local path, a `file://` or `s3://` URL, or one of another scheme that fsspec knows.

    Raises:
        UsageError: The scheme is unknown, or the URL carries credentials.
    """
    scheme, separator, rest = uri.partition("://")
    if not uri:
        raise UsageError("An empty path names no place: give a folder, an archive or an s3:// URL.")
    if not separator or uri.startswith("/"):
        return _local(os.path.expanduser(uri))  # noqa: PTH111
    if scheme == "file":
        return _local(unquote(urlsplit(uri).path))
    if scheme in ("s3", "s3a"):
        return _bucket(uri, rest)
    if _USER_AND_PASSWORD.match(rest):
        raise UsageError(
            f"{redact(uri)} carries credentials: take them out of the URL and give them in the "
            "environment instead."
        )
    if _QUERY.search(rest):
        raise UsageError(
            f"{redact(uri.partition('?')[0])} carries a query, which may hold a secret and would "
            "be kept in the report: use a URL without one."
        )
    # Imported here, like s3fs in _bucket, because most commands and most of Ray's processes never
    # need it: fsspec takes 0.3 s to import, s3fs a second.
    from pipelines.storage.fsspec_place import open_fsspec

    return open_fsspec(uri)


def open_witnessed(uri: str, path: str) -> Place:
    """The place that a path or URL names, where a folder in it tells whether it is still there.

    A folder of this machine may go away, and a mount leave an empty one behind. No folder is made
    in the place where that one is missing. A store says by itself that it is away.

    Args:
        uri: As for `open_place`.
        path: Of a folder directly in the place that stays as long as that does.

    Raises:
        UsageError: As for `open_place`.
    """
    place = open_place(uri)
    if not isinstance(place, LocalPlace):
        return place
    return replace(place, witness=str(Path(place.uri, path)))


def _local(path: str) -> LocalPlace:
    # abspath, as pathlib has nothing that takes out '..' without following links.
    return LocalPlace(os.path.abspath(path))  # noqa: PTH100


def _bucket(uri: str, rest: str) -> Place:
    from pipelines.storage.bucket import BucketPlace

    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            f"{redact(uri)} carries credentials: take them out of the URL and set AWS_ACCESS_KEY_ID"
            " and AWS_SECRET_ACCESS_KEY instead."
        )
    if not bucket:
        raise UsageError(f"{uri} names no bucket: write s3://BUCKET/PREFIX.")
    return BucketPlace(f"s3://{bucket}/{prefix.strip('/')}".rstrip("/"))


def split_glob(src: str) -> tuple[Place, str]:
    """SRC as the place up to its first wildcard, and the pattern from there on.

    The pattern is '' where there is none. A name that exists as it stands is no pattern, whatever
    characters are in it.
    """
    wildcard = _WILDCARD.search(src)
    if wildcard is None:
        return open_place(src), ""
    literal = open_place(src)
    if literal.exists("") or _holds_anything(literal):
        return literal, ""
    before = src[: wildcard.start()]
    base, _, pattern = before.rpartition("/")
    if not base:
        base = "/" if src.startswith("/") else "."
    return open_place(base), pattern + src[wildcard.start() :]


def is_there(place: Place) -> bool:
    """Whether there is such a folder or object. A folder of this machine may be empty."""
    if isinstance(place, LocalPlace):
        return Path(place.uri).exists()
    return place.exists("") or _holds_anything(place)


def check_places(src: str, dst: str) -> None:
    """Check that a run from SRC to DST can begin.

    DST is made, and one small object written there and deleted.

    Raises:
        UsageError: SRC is empty; SRC and DST are the same, or one lies inside the other.
        UnusablePlaceError: SRC is not there, DST cannot be written, or credentials are refused.
        StorageError: A store fails for the moment.
    """
    source, pattern = split_glob(src)
    destination = open_place(dst)
    _check_apart(source, pattern, destination, src, dst)
    if not source.exists("") and not _holds_anything(source):
        if isinstance(source, LocalPlace) and Path(source.uri).is_dir():
            raise UsageError(f"{shown(src)} is empty: there is nothing to clean.")
        raise UsageError(f"{shown(src)} does not exist: check the path.")
    if isinstance(destination, LocalPlace) and Path(destination.uri).is_file():
        raise UsageError(f"DST {shown(dst)} is a file: give a folder, which need not exist.")
    try_to_write(destination)


def try_to_write(place: Place) -> None:
    """Write one small object and delete it again; folders that it needs are made, and stay.

    Raises:
        UnusablePlaceError: The place cannot be written, or credentials are refused.
        StorageError: The store fails for the moment.
    """
    probe = probe_object(f"probe-{uuid4().hex}")
    place.write(probe, b"a probe of demoire: it may be deleted")
    place.delete(probe)


def _holds_anything(place: Place) -> bool:
    return next(place.list(), None) is not None


def _check_apart(source: Place, pattern: str, destination: Place, src: str, dst: str) -> None:
    inner = _components(source)
    outer = _components(destination)
    if inner == outer and not pattern:
        raise UsageError(
            f"SRC and DST are both {shown(src)}: choose another DST, nothing is overwritten."
        )
    if inner[: len(outer)] == outer:
        raise UsageError(
            f"SRC {shown(src)} lies inside DST {shown(dst)}: choose a DST apart from it."
        )
    if outer[: len(inner)] != inner:
        return
    below = outer[len(inner) :]
    if not pattern or _could_match(below, pattern.split("/")):
        raise UsageError(
            f"DST {shown(dst)} lies inside SRC {shown(src)}: choose a DST apart from it."
        )


def _components(place: Place) -> list[str]:
    """The parts of a place's URI, links resolved, to tell whether one place contains another."""
    uri = place.uri
    if isinstance(place, LocalPlace):
        uri = os.path.realpath(uri)
    return uri.rstrip("/").split("/")


def _could_match(folders: list[str], patterns: list[str]) -> bool:
    """Whether a glob could take in what lies in a folder below its base."""
    for folder, pattern in zip(folders, patterns, strict=False):
        if "**" in pattern:
            return True
        if not fnmatchcase(folder, pattern):
            return False
    return True
