"""The facts that travel between the steps of a run, as small frozen dataclasses.

source -> member -> unit -> chain on the way in; report row on the way out. Parsing and checking
happen where these are made; from there on their values are right by type. Nothing here touches
storage.
"""

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

SourceKind = Literal["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip", "folder"]
MemberKind = Literal["image", "other", "unsafe", "link", "marker", "withheld"]
Compression = Literal["stored", "deflate", "bzip2", "lzma", "zstd"]
Content = Literal["", "image", "other"]

REPORT_VERSION = "1"


@dataclass(frozen=True)
class Source:
    """One archive, or one folder of loose files, as discovery found it."""

    uri: str  # full URL (or absolute local path) of the archive or folder
    path: str  # where it goes, relative to DST, '/'-separated; '' for the top folder itself
    kind: SourceKind
    version: str  # etag, else size + mtime; for a folder a digest over its files' versions
    size: int  # bytes of the archive, or of all the folder's files

    @property
    def is_stream(self) -> bool:
        """Whether it can only be read from its beginning: a compressed tar."""
        return self.kind.startswith("tar.")

    @property
    def id(self) -> str:
        """Sixteen hex digits that name this source in the ledger; independent of its version."""
        name = f"{self.kind}\0{self.uri}".encode(errors="surrogateescape")
        return hashlib.sha256(name).hexdigest()[:16]


@dataclass(frozen=True)
class FileInArchive:
    """Where a file of several pages lies in an archive; the fields are those of a `Member`."""

    offset: int
    length: int
    size: int
    compression: Compression


@dataclass(frozen=True)
class Member:
    """One entry of a source, in the source's own order.

    A `link` is kept as a link, and a `marker` stands for the folder itself: it is an empty one, or
    a bucket has a key for it. What is `withheld` is not in the mirror.
    """

    position: int  # in the source, from 0
    name: str  # as the source gives it; may hold surrogate escapes where it is not UTF-8
    kind: MemberKind
    # First byte of the payload in the source object; -1 where it cannot be read by range.
    offset: int
    length: int  # bytes of the payload as stored in the source (compressed, where it is)
    size: int  # bytes of the payload once decompressed
    compression: Compression
    version: str  # of a folder's file: etag, else size + mtime; '' inside an archive
    # MP once decoded, estimated from the bytes where the header was not read; 0 if no image.
    megapixels: float
    target: str = ""  # of a link: what it leads to, relative to its folder
    # Why it is withheld, or an image that is not read; see `demoire.reasons`.
    reason: str = ""
    content: Content = ""  # of a name without a suffix, by its first bytes; '' if not looked at
    file: FileInArchive | None = None  # of several pages, that an image in an archive is in
    # Of a picture on a page that says how large it is shown: px per inch there.
    dpi: float | None = None


@dataclass(frozen=True)
class Unit:
    """The grain of work and of commitment: consecutive image members of one source.

    `id` is a SHA-256 over source uri and version, member names and ranges, and the config
    fingerprint. `generation` is 0 in a normal plan; `demoire retry` plans quarantined images again
    under the next number, and the highest committed generation of an image is the one that is
    published.
    """

    id: str
    source: Source
    members: tuple[Member, ...]
    generation: int = 0

    @property
    def megapixels(self) -> float:
        """Megapixels of all its images, estimated."""
        return sum(member.megapixels for member in self.members)

    @property
    def bytes(self) -> int:
        """Bytes of all its images, as the source stores them."""
        return sum(member.length for member in self.members)


@dataclass(frozen=True)
class Bundle:
    """Small units of several folders, which are cleaned together and committed by one marker."""

    units: tuple[Unit, ...]
    tried_as: str = ""  # the id of all that were put together, where some are committed already

    @property
    def id(self) -> str:
        """A SHA-256 over the ids of its units, 64 hex digits."""
        text = "\n".join(unit.id for unit in self.units)
        return hashlib.sha256(text.encode()).hexdigest()


def units_in(work: Unit | Bundle) -> tuple[Unit, ...]:
    """The units of a bundle, or a unit as the only one."""
    return work.units if isinstance(work, Bundle) else (work,)


@dataclass(frozen=True)
class ReportRow:
    """One row of the report: one image, or one page of it.

    Field order is column order, and the names are a promise.
    """

    source: str
    member: str
    page: int
    image_id: str
    source_kind: str
    width: int | None
    height: int | None
    mode: str | None
    bits: int | None
    dpi: float | None
    icc: str | None
    bytes_in: int
    bytes_out: int
    sha256_in: str | None
    sha256_out: str | None
    status: str
    reason: str | None
    moire_before: float | None
    moire_after: float | None
    moire_kind: str | None
    tiles: int
    tiles_restored: int
    psnr_vs_input: float | None
    ssim_vs_input: float | None
    colour_shift: float | None
    psnr_vs_reference: float | None
    ssim_vs_reference: float | None
    ms_fetch: float
    ms_decode: float
    ms_detect: float
    ms_restore: float
    ms_encode: float
    weights_digest: str
    config_fingerprint: str
    unit_id: str
    attempt: int
    run_id: str
    host: str
    device: str
    finished_at: datetime


_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
    str | None: pa.string(),
    int | None: pa.int64(),
    float | None: pa.float64(),
}
_ALWAYS_THERE = (str, int, float, datetime)


def _report_schema() -> pa.Schema:
    columns = []
    for column in fields(ReportRow):
        nullable = column.type not in _ALWAYS_THERE
        columns.append(pa.field(column.name, _ARROW_TYPES[column.type], nullable=nullable))
    return pa.schema(columns, metadata={"demoire.report": REPORT_VERSION})


REPORT_SCHEMA = _report_schema()
