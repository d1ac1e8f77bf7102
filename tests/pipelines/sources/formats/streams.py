"""Compressed streams of every format, by the libraries and by the tools of the trade."""

import bz2
import gzip
import lzma
import subprocess
from collections.abc import Callable

from backports import zstd

from pipelines.records import SourceKind

Compress = Callable[[bytes], bytes]

COMPRESS: dict[SourceKind, Compress] = {
    "tar.gz": lambda data: gzip.compress(data, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": zstd.compress,
}
DECOMPRESS: dict[SourceKind, Compress] = {
    "tar.gz": gzip.decompress,
    "tar.bz2": bz2.decompress,
    "tar.xz": lzma.decompress,
    "tar.zst": zstd.decompress,
}
TOOLS: dict[SourceKind, str] = {
    "tar.gz": "gzip",
    "tar.bz2": "bzip2",
    "tar.xz": "xz",
    "tar.zst": "zstd",
}


def by_tool(kind: SourceKind, data: bytes, *options: str) -> bytes:
    """What the format's own program makes of the data, or says of it (`-t`)."""
    command = [TOOLS[kind], *options]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout
