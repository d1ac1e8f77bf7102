"""What an object store keeps of an object besides its bytes, and the types of files by their names.

Whoever serves a bucket to readers depends on these: a browser shows an image by its Content-Type, a
cache keeps it by its Cache-Control, a catalogue finds it by its metadata. A file system has nowhere
to put them, so a local place neither gives nor takes any.

The table of types is the one that Python is built with, plus image formats that it lacks. What
/etc/mime.types says differs from machine to machine, and is not asked.
"""

import hashlib
import mimetypes
import mmap
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

Pairs = tuple[tuple[str, str], ...]
_Bytes = bytes | mmap.mmap

_GENERIC_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_DIGEST = re.compile(r"[0-9a-fA-F]{32}|[A-Za-z0-9+/]{22,}=")  # hexadecimal or base64
_COMPRESSIONS = ("gzip", "x-gzip", "compress", "deflate", "br", "zstd")

# What is missing among Python's own types, or wrong there for what this program writes.
_TYPES_BY_SUFFIX = {
    ".avif": "image/avif",
    ".csv": "text/csv; charset=utf-8",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".html": "text/html; charset=utf-8",
    ".j2c": "image/j2c",
    ".j2k": "image/j2c",
    ".jp2": "image/jp2",
    ".jpf": "image/jpx",
    ".jpx": "image/jpx",
    ".jxl": "image/jxl",
    ".parquet": "application/vnd.apache.parquet",
    ".webp": "image/webp",
}

# Not Content-Encoding: a store would offer to unpack what is an archive.
_TYPES_BY_ENCODING = {
    "bzip2": "application/x-bzip2",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}


@dataclass(frozen=True)
class ObjectFacts:
    """The headers, user metadata and tags of one object. Empty where the store keeps none.

    The storage class is not among them: where an object lies, and at what price, is the bucket's to
    say.
    """

    content_type: str = ""
    cache_control: str = ""
    content_encoding: str = ""
    content_disposition: str = ""
    content_language: str = ""
    expires: datetime | None = None
    metadata: Pairs = ()  # names without the store's prefix
    tags: Pairs = ()

    def of_changed(self, name: str) -> "ObjectFacts":
        """The facts of what this object became: its type is that of an image, by its name.

        A compression as Content-Encoding is left out, because the content could be decoded as it
        stood: the header was wrong, or an image would be unpacked twice.
        """
        changed = self
        guessed = content_type_of(name)
        if self.content_type in _GENERIC_TYPES and guessed.startswith("image/"):
            changed = replace(changed, content_type=guessed)
        if self.content_encoding.strip().lower() in _COMPRESSIONS:
            changed = replace(changed, content_encoding="")
        return changed

    @property
    def may_hold_digests(self) -> bool:
        """Whether metadata or tags look as if they held a digest of the content."""
        return any(_DIGEST.search(value) for _, value in self.metadata + self.tags)

    def with_digests(self, before: _Bytes, after: _Bytes) -> "ObjectFacts":
        """The facts with digests of the old content replaced by those of the new one.

        Programs that upload leave such digests (`md5chksum` of rclone, `s3cmd-attrs`), and would
        take the cleaned object for damaged.
        """
        spellings = list(zip(_spellings(before), _spellings(after), strict=True))

        def renewed(pairs: Pairs) -> Pairs:
            changed = []
            for name, value in pairs:
                for old, new in spellings:
                    value = value.replace(old, new)
                changed.append((name, value))
            return tuple(changed)

        return replace(self, metadata=renewed(self.metadata), tags=renewed(self.tags))


NO_FACTS = ObjectFacts()


def _spellings(content: _Bytes) -> Iterator[str]:
    """The digests of some content, as programs write them."""
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        digest = hashlib.new(algorithm, content, usedforsecurity=False).digest()
        yield digest.hex()
        yield digest.hex().upper()
        yield b64encode(digest).decode("ascii")


_BUILT_IN = mimetypes.MimeTypes()


def content_type_of(name: str) -> str:
    """The type of a file by its name; '' where the name does not say."""
    suffix = name.rpartition("/")[2].rpartition(".")[2].lower()
    own = _TYPES_BY_SUFFIX.get(f".{suffix}")
    if own is not None:
        return own
    guessed, encoding = _BUILT_IN.guess_type(name.rpartition("/")[2].lower())
    if encoding is not None:
        return _TYPES_BY_ENCODING.get(encoding, "")
    return guessed or ""
