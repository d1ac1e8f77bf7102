"""From a URL to a place, and whether source and destination go together."""

import os
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from demoire.errors import UsageError
from pipelines.layout import BOOKKEEPING
from pipelines.names import redact, shown
from pipelines.storage.local import LocalPlace
from pipelines.storage.place import Place


def open_place(uri: str) -> Place:
    """The place that a local path, `file://` or `s3://` URL names. Touches nothing yet.

    Raises UsageError for another scheme, or when the URL carries credentials.
    """
    scheme, separator, rest = uri.partition("://")
    if not uri:
        raise UsageError("An empty path names no place: give a folder, an archive or an s3:// URL.")
    if not separator or uri.startswith("/"):
        return LocalPlace(os.path.abspath(os.path.expanduser(uri)))
    if scheme == "file":
        return LocalPlace(os.path.abspath(unquote(urlsplit(uri).path)))
    if scheme in ("s3", "s3a"):
        from pipelines.storage.bucket import BucketPlace

        bucket, _, prefix = rest.partition("/")
        if "@" in bucket or ":" in bucket:
            raise UsageError(
                f"{redact(uri)} carries credentials: take them out of the URL and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY instead."
            )
        if not bucket:
            raise UsageError(f"{uri} names no bucket: write s3://BUCKET/PREFIX.")
        return BucketPlace(f"s3://{bucket}/{prefix.strip('/')}".rstrip("/"))
    raise UsageError(
        f"{redact(uri)} is of a kind that is not supported: use a local path or an s3:// URL."
    )


def split_glob(src: str) -> tuple[Place, str]:
    """SRC as the place up to its first wildcard, and the pattern from there on ('' if there is
    none).

    A name that exists as it stands is no pattern, whatever characters are in it.
    """
    cut = min((i for i in (src.find(c) for c in "*?[") if i >= 0), default=-1)
    if cut < 0 or (literal := open_place(src)).exists("") or next(literal.list(), None) is not None:
        return open_place(src), ""
    base, _, pattern = src[:cut].rpartition("/")
    if not base and not src.startswith("/"):
        base = "."
    return open_place(base or "/"), pattern + src[cut:]


def check_places(src: str, dst: str) -> None:
    """Whether a run from SRC to DST can begin; DST is made and one small object written there and
    deleted.

    Raises UsageError or StorageError: SRC missing or empty, SRC and DST the same or one inside the
    other, DST not writable, credentials refused.
    """
    source, pattern = split_glob(src)
    destination = open_place(dst)
    _check_apart(source, pattern, destination, src, dst)
    if not source.exists("") and next(source.list(), None) is None:
        if isinstance(source, LocalPlace) and os.path.isdir(source.uri):
            raise UsageError(f"{shown(src)} is empty: there is nothing to clean.")
        raise UsageError(f"{shown(src)} does not exist: check the path.")
    probe = f"{BOOKKEEPING}/probe-{uuid4().hex}"
    destination.write(probe, b"")
    destination.delete(probe)


def _check_apart(source: Place, pattern: str, destination: Place, src: str, dst: str) -> None:
    inner, outer = _components(source), _components(destination)
    if inner == outer and not pattern:
        raise UsageError(
            f"SRC and DST are both {shown(src)}: choose another DST, nothing is overwritten."
        )
    if inner[: len(outer)] == outer:
        raise UsageError(
            f"SRC {shown(src)} lies inside DST {shown(dst)}: choose a DST apart from it."
        )
    below = outer[len(inner) :]
    if outer[: len(inner)] == inner and (not pattern or _could_match(below, pattern.split("/"))):
        raise UsageError(
            f"DST {shown(dst)} lies inside SRC {shown(src)}: choose a DST apart from it."
        )


def _components(place: Place) -> list[str]:
    return (
        (os.path.realpath(place.uri) if isinstance(place, LocalPlace) else place.uri)
        .rstrip("/")
        .split("/")
    )


def _could_match(folders: list[str], patterns: list[str]) -> bool:
    """Whether a glob could take in what lies in a folder below its base."""
    for folder, pattern in zip(folders, patterns, strict=False):
        if "**" in pattern:
            return True
        if not fnmatchcase(folder, pattern):
            return False
    return True
