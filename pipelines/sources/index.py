"""The members of a source, each with its byte range and size."""

import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import BinaryIO, cast

from demoire.errors import ImageError
from demoire.imaging.images import probe
from pipelines.names import shown
from pipelines.records import Member, Source
from pipelines.sources.discover import _archive, _loose, _Tally, folder_of
from pipelines.sources.gzip_stream import BoundedGzip
from pipelines.sources.members import (
    PROBE_BYTES,
    PROBES,
    DamagedArchiveError,
    is_unsafe_name,
    member_kind,
    suffix_of,
)
from pipelines.sources.tar import tar_members
from pipelines.sources.zip import inflate, zip_members, zip_payload_start, zip_span
from pipelines.storage.open import open_place
from pipelines.storage.place import source_changed

# Megapixels a byte, where not one header of a source could be read.
_TYPICAL = {".png": 0.7e-6, ".bmp": 0.33e-6, ".tif": 0.33e-6, ".tiff": 0.33e-6, ".webp": 5e-6}


_TYPICAL_OTHER = 2.5e-6


@dataclass(frozen=True)
class SourceIndex:
    """What one source holds: every member, once, in the source's own order.

    Listing a source is the expensive part (requests, header probes, for a tar.gz the whole
    archive), so a run makes one index of each source and hands on what later steps need of it: the
    images become units, `others` and `unsafe` are what the mirror and the report need besides.
    """

    source: Source
    members: tuple[Member, ...]

    @cached_property
    def images(self) -> tuple[Member, ...]:
        """The members to be cleaned or copied, one report row each."""
        return tuple(member for member in self.members if member.kind == "image")

    @cached_property
    def others(self) -> tuple[Member, ...]:
        """The members that are mirrored untouched, without a report row."""
        return tuple(member for member in self.members if member.kind == "other")

    @cached_property
    def unsafe(self) -> tuple[Member, ...]:
        """The members that are quarantined as `unsafe_name` without being read."""
        return tuple(member for member in self.members if member.kind == "unsafe")


def index(source: Source) -> SourceIndex:
    """Index a source, with the megapixels of its images estimated.

    Args:
        source: What `discover` listed.

    Returns:
        All members of the source.

    Raises:
        SourceChangedError: The source is no longer what was discovered.
        DamagedArchiveError: The archive does not check out.
    """
    return SourceIndex(source, tuple(_members(source)))


def _members(source: Source) -> list[Member]:
    try:
        if source.kind == "tar.gz":
            return _index_stream(source)
        members = {"folder": _folder_members, "tar": _tar_members, "zip": _zip_members}[
            source.kind
        ](source)
    except DamagedArchiveError as error:
        raise DamagedArchiveError(
            f"{shown(source.uri)} is damaged ({shown(str(error))}): it is copied as it is, unpack or repair it to have "
            "its images cleaned."
        ) from error
    images = [
        member
        for member in members
        if member.kind == "image" and member.offset >= 0 and member.length
    ]
    sizes = {member.position: _probed(_head(source, member)) for member in _spread(images, PROBES)}
    return _with_megapixels(members, sizes)


def _folder_members(source: Source) -> list[Member]:
    place, pattern = folder_of(source)
    tally, found = _Tally(), []
    for name, entry in _loose(place):
        if fnmatchcase(name, pattern or "*") and not _archive(entry.kind, name):
            tally.add(name, entry)
            found.append((name, entry))
    if tally.version != source.version:
        raise source_changed(shown(source.uri))
    members = []
    for position, (name, entry) in enumerate(sorted(found, key=lambda item: item[0])):
        unsafe = entry.kind != "file" or "/" in name or is_unsafe_name(name)
        kind = "unsafe" if unsafe else member_kind(name, plain=True)
        members.append(
            Member(position, name, kind, 0, entry.size, entry.size, "stored", entry.version, 0.0)
        )
    return members


def _tar_members(source: Source) -> list[Member]:
    with open_place(source.uri).open("", version=source.version) as file:
        return [member for member, _ in tar_members(file, by_range=True)]


def _zip_members(source: Source) -> list[Member]:
    with open_place(source.uri).open("", version=source.version) as file:
        return list(zip_members(file))


def _index_stream(source: Source) -> list[Member]:
    """The index of a tar.gz; headers are probed on the way: all at first, then every second,
    fourth... image.
    """
    members: list[Member] = []
    sizes: dict[int, float | None] = {}
    images, stride = 0, 1
    with (
        open_place(source.uri).open("", version=source.version) as file,
        BoundedGzip(file, source.size) as stream,
    ):
        for member, start in tar_members(cast(BinaryIO, stream), by_range=False):
            members.append(member)
            if member.kind != "image" or not member.length:
                continue
            if images % stride == 0:
                sizes[member.position] = _probed(_stream_head(stream, start, member))
                if len(sizes) > PROBES:
                    sizes = dict(list(sizes.items())[::2])
                    stride *= 2
            images += 1
    return _with_megapixels(members, sizes)


def _stream_head(stream: gzip.GzipFile, start: int, member: Member) -> bytes:
    try:
        stream.seek(start)
        return stream.read(min(PROBE_BYTES, member.length))
    except (EOFError, zlib.error, OSError) as error:
        raise DamagedArchiveError(str(error)) from error


def _probed(head: bytes) -> float | None:
    try:
        return probe(head).megapixels
    except ImageError:
        return None


def _head(source: Source, member: Member) -> bytes:
    """The first bytes of a member's unpacked payload; none where they cannot be unpacked."""
    if source.kind == "folder":
        place, _ = folder_of(source)
        return place.read(member.name, 0, min(PROBE_BYTES, member.length), version=member.version)
    place = open_place(source.uri)
    if source.kind == "tar":
        return place.read(
            "", member.offset, min(PROBE_BYTES, member.length), version=source.version
        )
    span = place.read("", member.offset, min(PROBE_BYTES, zip_span(member)), version=source.version)
    try:
        start = zip_payload_start(span, member)
        packed = span[start : start + member.length]
        return (
            packed
            if member.compression == "stored"
            else inflate(packed, min(member.size, PROBE_BYTES))
        )
    except (ImageError, zlib.error):
        return b""


def _spread(members: Sequence[Member], count: int) -> list[Member]:
    if len(members) <= count:
        return list(members)
    return [members[i * (len(members) - 1) // (count - 1)] for i in range(count)]


def _with_megapixels(members: Iterable[Member], sizes: dict[int, float | None]) -> list[Member]:
    """Images whose header was read have its megapixels; the others those of as many bytes of their
    own format.
    """
    members = list(members)
    known = [
        (member, size) for member in members if (size := sizes.get(member.position)) is not None
    ]
    totals: dict[str, tuple[float, int]] = {}
    for member, size in known:
        for key in (suffix_of(member.name), ""):
            megapixels, encoded = totals.get(key, (0.0, 0))
            totals[key] = megapixels + size, encoded + member.size
    rates = {key: megapixels / encoded for key, (megapixels, encoded) in totals.items() if encoded}
    exact = {member.position: size for member, size in known}

    def estimate(member: Member) -> float:
        suffix = suffix_of(member.name)
        rate = rates.get(suffix) or rates.get("") or _TYPICAL.get(suffix, _TYPICAL_OTHER)
        return exact.get(member.position, member.size * rate)

    return [
        replace(member, megapixels=estimate(member)) if member.kind == "image" else member
        for member in members
    ]
