"""Sources: what SRC holds, the members of each, and their bytes.

`discover` lists archives and folders of loose files under SRC (a folder, a bucket prefix, a glob,
one archive, one image). `index` lists the members of one. `read_members` gives the payloads of some
of them, by few ranged reads.

Ways of saying it that others rely on:
- A folder source's uri is its folder, '/', and a glob over the names in it ('' for all): '/box/',
  '/box/*.jpg'. `folder_of` takes it apart. An archive's uri is the archive.
- In a zip, `Member.offset` is where its local header begins (the directory does not say where the
  payload does).
- `Member.offset` is -1 where no range can be read: all of a tar.gz, and zip members that are
  encrypted or of an uncommon method (an ImageError when read).
- `unsafe` members are image-named but not cleaned: names that leave their folder, sparse files, and
  in folders links and devices of any name. They have a row in the report, quarantined as
  `unsafe_name`.

Costs: the index of a tar reads one small range a member, a zip's one or two in all, a tar.gz
everything. To estimate megapixels, the headers of at most 32 images a source are read (64 KB each);
the rest are judged by bytes a pixel.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, cast

from demoire.errors import ImageError
from demoire.imaging.images import probe
from demoire.reasons import Reason
from pipelines.records import Member, Source
from pipelines.sources.coalesce import COALESCE_GAP, COALESCE_LIMIT, coalesce
from pipelines.sources.discover import folder_of
from pipelines.sources.gzip_stream import BOMB_MEMBER, BOMB_RATIO
from pipelines.sources.members import LARGEST_MEMBER, PROBE_BYTES, DamagedArchiveError
from pipelines.sources.tar import tar_members
from pipelines.sources.zip import zip_payload, zip_payload_start, zip_span
from pipelines.storage.open import open_place
from pipelines.storage.place import Place, source_changed


def read_members(
    source: Source, members: Sequence[Member], *, check_version: bool = True
) -> Iterator[tuple[Member, bytes | ImageError]]:
    """The unpacked payload of each member, in the order given; an ImageError where it cannot be
    had.

    A tar.gz is read once from its beginning: its members must be given in order. At most 32 MB are
    read ahead (or one member, if larger). Raises SourceChangedError if the source is no longer the
    version that was planned.
    """
    if source.kind == "tar.gz":
        yield from _read_stream(source, members, check_version)
    elif source.kind == "folder":
        place, _ = folder_of(source)
        for member in members:
            yield member, _checked(member) or _read_file(place, member, check_version)
    else:
        yield from _read_ranges(source, members, check_version)


def _read_image(stream: gzip.GzipFile, size: int) -> bytes | ImageError:
    """The next `size` bytes; of very many, only if they begin like an image: a trap of zeros is
    small while packed.
    """
    head = stream.read(min(size, PROBE_BYTES))
    if size > BOMB_MEMBER:
        try:
            probe(head)
        except ImageError as error:
            if error.reason == "not_an_image":
                return error
    return head + stream.read(size - len(head))


def _checked(member: Member) -> ImageError | None:
    if member.size > LARGEST_MEMBER:
        return ImageError(
            Reason.TOO_LARGE,
            f"Member {member.position} is of {member.size} bytes: too many to be cleaned.",
        )
    if member.size > max(BOMB_MEMBER, BOMB_RATIO * member.length):
        return ImageError(
            Reason.COMPRESSION_BOMB,
            f"Member {member.position} unpacks to {member.size} bytes: a trap.",
        )
    if member.offset < 0:
        return ImageError(
            Reason.UNREADABLE,
            f"Member {member.position} is encrypted, or compressed in an uncommon way.",
        )
    return None


def _read_file(place: Place, member: Member, check_version: bool) -> bytes:
    data = place.read(member.name, version=member.version if check_version else None)
    if check_version and len(data) != member.length:
        raise source_changed(place.full(member.name))
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
            raise source_changed(place.full())


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
        # an uncommonly long extra field
        if zip_payload_start(span, member) > zip_span(member) - member.length:
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
                        raise source_changed(place.full())
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
        yield (
            wanted,
            ImageError(
                Reason.UNREADABLE, f"Member {wanted.position} cannot be read out of its archive."
            ),
        )
        wanted = next(waiting, None)
