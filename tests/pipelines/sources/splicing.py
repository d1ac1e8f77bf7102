"""Tars to splice, and what is in them."""

import io
import tarfile
from collections.abc import Sequence
from typing import Any

from pipelines.sources.formats import tar
from pipelines.sources.formats.containers import members_at

Payloads = dict[int, bytes]  # by position


OTHERS = {
    "smaller": b"s",
    "empty": b"",
    "larger": b"L" * 5000,
    "equal": b"=" * 900,
    "a block": b"B" * 512,
}


def content(count: int = 5) -> list[tuple[str, bytes]]:
    return [(f"box/{i}.jpg", bytes([65 + i]) * 900) for i in range(count)]


def tar_of(
    members: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT, **global_headers: str
) -> bytes:
    """A tar with a folder first, and a link to the first member last; odd owners, modes and
    times.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers=global_headers) as tar:
        folder = tarfile.TarInfo("box")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o750
        tar.addfile(folder)
        for number, (name, data) in enumerate(members):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1_000_000_000.25 + number, 0o604
            info.uid, info.gid, info.uname, info.gname = 4000 + number, 99, "archivist", "library"
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"LIBRARY.shelf": f"shelf {number} – ü"}
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("box/link")
        link.type, link.linkname = tarfile.LNKTYPE, members[0][0] if members else "box"
        tar.addfile(link)
    return buffer.getvalue()


def respliced(data: bytes, payloads: Payloads) -> tuple[bytes, set[int]]:
    out = io.BytesIO()
    members = members_at(tar, io.BytesIO(data), payloads.keys())
    refused = tar.rewrite(io.BytesIO(data), out, members, payloads.__getitem__)
    return out.getvalue(), refused


def facts_of_tar(data: bytes) -> list[dict[str, Any]]:
    """All that tarfile knows of each member but where it lies."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            {
                **info.get_info(),
                "pax": info.pax_headers,
                "data": tar.extractfile(info).read() if info.isreg() else None,
            }  # type: ignore[union-attr]
            for info in tar
        ]


FORMS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
