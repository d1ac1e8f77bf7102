"""Sources: what SRC holds, the members of each, and their bytes.

`discover` lists archives and folders of loose files under SRC (a folder, a bucket prefix, a glob, one archive, one
image). `index` lists the members of one. `read_members` gives the payloads of some of them, by few ranged reads.

Ways of saying it that others rely on:
- A folder source's uri is its folder, '/', and a glob over the names in it ('' for all): '/box/', '/box/*.jpg'.
  `folder_of` takes it apart. An archive's uri is the archive.
- In a zip, `Member.offset` is where its local header begins (the directory does not say where the payload does).
- `Member.offset` is -1 where no range can be read: all of a tar.gz, and zip members that are encrypted or of an
  uncommon method (an ImageError when read).
- `unsafe` members are image-named but not cleaned: names that leave their folder, sparse files, and in folders links
  and devices of any name. They have a row in the report, quarantined as `unsafe_name`.

Costs: the index of a tar reads one small range a member, a zip's one or two in all, a tar.gz everything. To estimate
megapixels, the headers of at most 32 images a source are read (64 KB each); the rest are judged by bytes a pixel.
"""

import glob
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from re import compile as compile_pattern
from typing import BinaryIO, cast

from fsspec.utils import glob_translate

from demoire.errors import ImageError, UsageError
from demoire.imaging.images import probe
from pipelines.records import Member, Source
from pipelines.sources.members import (
    BOMB_MEMBER,
    BOMB_RATIO,
    LARGEST_MEMBER,
    ArchiveKind,
    BoundedGzip,
    DamagedArchiveError,
    archive_kind,
    inflate,
    is_image_name,
    is_unsafe_name,
    member_kind,
    suffix_of,
    tar_members,
    zip_members,
    zip_payload,
    zip_payload_start,
    zip_span,
)
from pipelines.storage.place import BOOKKEEPING, Entry, Place, changed, open_place, shown, split_glob

__all__ = ["DamagedArchiveError", "discover", "folder_of", "index", "read_members"]

PROBES, PROBE_BYTES = 32, 64 << 10
COALESCE_GAP, COALESCE_LIMIT = 1 << 20, 32 << 20  # a request costs about as much time as 1 MB

# Megapixels a byte, where not one header of a source could be read.
_TYPICAL = {".png": 0.7e-6, ".bmp": 0.33e-6, ".tif": 0.33e-6, ".tiff": 0.33e-6, ".webp": 5e-6}
_TYPICAL_OTHER = 2.5e-6


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
            archives.append(Source(_join(base.uri, entry.path), entry.path, kind, entry.version, entry.size))
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


def index(source: Source) -> list[Member]:
    """All members of a source in order, with megapixels estimated.

    Raises SourceChangedError if it is no longer what was discovered, DamagedArchiveError if it does not check out.
    """
    try:
        if source.kind == "tar.gz":
            return _index_stream(source)
        members = {"folder": _folder_members, "tar": _tar_members, "zip": _zip_members}[source.kind](source)
    except DamagedArchiveError as error:
        raise DamagedArchiveError(
            f"{shown(source.uri)} is damaged ({shown(str(error))}): it is copied as it is, unpack or repair it to have "
            "its images cleaned."
        ) from error
    images = [member for member in members if member.kind == "image" and member.offset >= 0 and member.length]
    sizes = {member.position: _probed(_head(source, member)) for member in _spread(images, PROBES)}
    return _with_megapixels(members, sizes)


def read_members(
    source: Source, members: Sequence[Member], *, check_version: bool = True
) -> Iterator[tuple[Member, bytes | ImageError]]:
    """The unpacked payload of each member, in the order given; an ImageError where it cannot be had.

    A tar.gz is read once from its beginning: its members must be given in order. At most 32 MB are read ahead (or one
    member, if larger). Raises SourceChangedError if the source is no longer the version that was planned.
    """
    if source.kind == "tar.gz":
        yield from _read_stream(source, members, check_version)
    elif source.kind == "folder":
        place, _ = folder_of(source)
        for member in members:
            yield member, _checked(member) or _read_file(place, member, check_version)
    else:
        yield from _read_ranges(source, members, check_version)


@dataclass
class _Tally:
    """What is loose in one folder, as it is listed; the order of listing does not matter."""

    digest: int = 0
    size: int = 0

    def add(self, name: str, entry: Entry) -> None:
        facts = f"{name}\0{entry.kind}\0{entry.version}".encode("utf-8", "surrogateescape")
        self.digest = (self.digest + int.from_bytes(hashlib.sha256(facts).digest(), "big")) % (1 << 256)
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
        raise UsageError(f"{shown(place.uri)} is neither a folder, an archive (tar, tar.gz, zip) nor an image.")
    tally = _Tally()
    tally.add(name, entry)
    return Source(f"{folder}/{glob.escape(name)}", "", "folder", tally.version, entry.size)


def _archive(entry_kind: str, name: str) -> ArchiveKind | None:
    return archive_kind(name) if entry_kind == "file" and not is_unsafe_name(name) else None


def _join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path}"


def _is_hidden(path: str) -> bool:
    folders = path.split("/")[:-1]
    return any(part == BOOKKEEPING or (part.startswith(".") and part.strip(".")) for part in folders)


def _split_safely(path: str) -> tuple[str, str]:
    """Folder and name; a bucket's '..', '.' and empty folders belong to the name, which is unsafe then."""
    parts = path.split("/")
    unsafe = next((i for i, part in enumerate(parts[:-1]) if part in ("", ".", "..")), len(parts) - 1)
    return "/".join(parts[:unsafe]), "/".join(parts[unsafe:])


def _matcher(pattern: str) -> Callable[[str], tuple[bool, str]]:
    """Says of a path whether the glob takes it in, and by which glob over the names in its folder ('' for all)."""
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


def _folder_members(source: Source) -> list[Member]:
    place, pattern = folder_of(source)
    tally, found = _Tally(), []
    for name, entry in _loose(place):
        if fnmatchcase(name, pattern or "*") and not _archive(entry.kind, name):
            tally.add(name, entry)
            found.append((name, entry))
    if tally.version != source.version:
        raise changed(shown(source.uri))
    members = []
    for position, (name, entry) in enumerate(sorted(found, key=lambda item: item[0])):
        unsafe = entry.kind != "file" or "/" in name or is_unsafe_name(name)
        kind = "unsafe" if unsafe else member_kind(name, plain=True)
        members.append(Member(position, name, kind, 0, entry.size, entry.size, "stored", entry.version, 0.0))
    return members


def _loose(place: Place) -> Iterator[tuple[str, Entry]]:
    stray = False
    for entry in place.list(recursive=False):
        if entry.kind != "folder":
            yield entry.path, entry
        stray = stray or (entry.kind == "folder" and entry.name in ("", ".", ".."))
    if stray:  # only a bucket has such; their objects are this folder's, under unsafe names
        yield from ((entry.path, entry) for entry in place.list() if entry.path.split("/")[0] in ("", ".", ".."))


def _tar_members(source: Source) -> list[Member]:
    with open_place(source.uri).open("", version=source.version) as file:
        return [member for member, _ in tar_members(file, by_range=True)]


def _zip_members(source: Source) -> list[Member]:
    with open_place(source.uri).open("", version=source.version) as file:
        return list(zip_members(file))


def _index_stream(source: Source) -> list[Member]:
    """The index of a tar.gz; headers are probed on the way: all at first, then every second, fourth... image."""
    members: list[Member] = []
    sizes: dict[int, float | None] = {}
    images, stride = 0, 1
    with open_place(source.uri).open("", version=source.version) as file, BoundedGzip(file, source.size) as stream:
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


def _read_image(stream: gzip.GzipFile, size: int) -> bytes | ImageError:
    """The next `size` bytes; of very many, only if they begin like an image: a trap of zeros is small while packed."""
    head = stream.read(min(size, PROBE_BYTES))
    if size > BOMB_MEMBER:
        try:
            probe(head)
        except ImageError as error:
            if error.reason == "not_an_image":
                return error
    return head + stream.read(size - len(head))


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
        return place.read("", member.offset, min(PROBE_BYTES, member.length), version=source.version)
    span = place.read("", member.offset, min(PROBE_BYTES, zip_span(member)), version=source.version)
    try:
        start = zip_payload_start(span, member)
        packed = span[start : start + member.length]
        return packed if member.compression == "stored" else inflate(packed, min(member.size, PROBE_BYTES))
    except (ImageError, zlib.error):
        return b""


def _spread(members: Sequence[Member], count: int) -> list[Member]:
    if len(members) <= count:
        return list(members)
    return [members[i * (len(members) - 1) // (count - 1)] for i in range(count)]


def _with_megapixels(members: Iterable[Member], sizes: dict[int, float | None]) -> list[Member]:
    """Images whose header was read have its megapixels; the others those of as many bytes of their own format."""
    members = list(members)
    known = [(member, size) for member in members if (size := sizes.get(member.position)) is not None]
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

    return [replace(member, megapixels=estimate(member)) if member.kind == "image" else member for member in members]


def coalesce(spans: Sequence[tuple[int, int]], gap: int, limit: int) -> Iterator[list[int]]:
    """Groups of consecutive (offset, length) spans that one read takes in: ascending, gaps and total bounded.

    Yields the spans' places in the sequence; every one once, in order. A span longer than the limit is a group alone.
    """
    group: list[int] = []
    for i, (offset, length) in enumerate(spans):
        if group:
            first, (last, last_length) = spans[group[0]][0], spans[group[-1]]
            joins = last + last_length <= offset + gap and last <= offset <= last + last_length + gap
            if not joins or max(offset + length, last + last_length) - first > limit:
                yield group
                group = []
        group.append(i)
    if group:
        yield group


def _checked(member: Member) -> ImageError | None:
    if member.size > LARGEST_MEMBER:
        return ImageError("too_large", f"Member {member.position} is of {member.size} bytes: too many to be cleaned.")
    if member.size > max(BOMB_MEMBER, BOMB_RATIO * member.length):
        return ImageError("compression_bomb", f"Member {member.position} unpacks to {member.size} bytes: a trap.")
    if member.offset < 0:
        return ImageError("unreadable", f"Member {member.position} is encrypted, or compressed in an uncommon way.")
    return None


def _read_file(place: Place, member: Member, check_version: bool) -> bytes:
    data = place.read(member.name, version=member.version if check_version else None)
    if check_version and len(data) != member.length:
        raise changed(place.full(member.name))
    return data


def _read_ranges(
    source: Source, members: Sequence[Member], check_version: bool
) -> Iterator[tuple[Member, bytes | ImageError]]:
    place, version = open_place(source.uri), source.version if check_version else None
    bad = {i: error for i, member in enumerate(members) if (error := _checked(member))}
    good = [i for i in range(len(members)) if i not in bad]
    length_of = zip_span if source.kind == "zip" else _length
    spans = [(members[i].offset, length_of(members[i])) for i in good]
    payloads = _ranges(place, version, spans)
    for i, member in enumerate(members):
        if i in bad:
            yield member, bad[i]
            continue
        data = next(payloads)
        if source.kind == "zip":
            yield member, _unzip(place, version, member, data)
        elif len(data) == member.length:
            yield member, data
        else:
            raise changed(place.full())


def _length(member: Member) -> int:
    return member.length


def _ranges(place: Place, version: str | None, spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    for group in coalesce(spans, COALESCE_GAP, COALESCE_LIMIT):
        start = spans[group[0]][0]
        end = max(spans[i][0] + spans[i][1] for i in group)
        data = place.read("", start, end - start, version=version)
        for i in group:
            offset, length = spans[i]
            yield data[offset - start : offset - start + length]


def _unzip(place: Place, version: str | None, member: Member, span: bytes) -> bytes | ImageError:
    try:
        needed = zip_payload_start(span, member) + zip_span(member)
        if zip_payload_start(span, member) > zip_span(member) - member.length:  # an uncommonly long extra field
            span = place.read("", member.offset, needed, version=version)
        return zip_payload(span, member)
    except ImageError as error:
        return error


def _read_stream(
    source: Source, members: Sequence[Member], check_version: bool
) -> Iterator[tuple[Member, bytes | ImageError]]:
    place = open_place(source.uri)
    waiting = iter(members)
    wanted = next(waiting, None)
    try:
        with place.open("", version=source.version if check_version else None) as file:
            stream = gzip.GzipFile(fileobj=file)
            for member, start in tar_members(cast(BinaryIO, stream), by_range=False):
                while wanted is not None and wanted.position == member.position:
                    if (wanted.name, wanted.size) != (member.name, member.size):
                        raise changed(place.full())
                    if member.size > LARGEST_MEMBER:
                        yield wanted, cast(ImageError, _checked(replace(member, offset=0)))
                    else:
                        stream.seek(start)
                        yield wanted, _read_image(stream, member.size)
                    wanted = next(waiting, None)
                if wanted is None:
                    return
    except (DamagedArchiveError, EOFError, zlib.error, gzip.BadGzipFile):
        pass
    while wanted is not None:
        yield wanted, ImageError("unreadable", f"Member {wanted.position} cannot be read out of its archive.")
        wanted = next(waiting, None)
