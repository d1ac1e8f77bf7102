"""Secrets to plant, and the search for them in whatever is left.

A secret counts as shown when any part of it is there, plain, URL-quoted or in base64, also inside
Parquet and SQLite.
"""

import base64
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq

KEY = "a-key"
# Like those of AWS: with characters that are quoted in URLs, and a slash, at which a URL's user
# part seems to end.
SECRET = "PlantedHush7f3a/Qu1et+Hidden9c1e/NeverT0ld="
OTHER_SECRET = "AlienVeil5d2b/Cl0aked+Masked8e4f/S1lenced="
TOKEN = "SessionWhisper6b1d/Mut3d+Sealed2f9a=="
PASSWORD = "PasswordMurmur3e8c"  # of letters and digits only, as URLs take it without quotes


def forms(secret: str) -> set[bytes]:
    """What a secret, or one of its parts between slashes, looks like in a file."""
    found: set[bytes] = set()
    for part in filter(None, secret.split("/")):
        quoted = quote(part, safe="")
        lower = re.sub("%..", lambda code: code.group().lower(), quoted)
        found |= {text.encode() for text in (part, quoted, lower, quote(quoted), quote_plus(part))}
        # base64 of something longer, in which the part begins anywhere
        for shift, cut in enumerate((0, 2, 3)):
            encoded = base64.b64encode(bytes(shift) + part.encode())[
                cut : (shift + len(part)) * 8 // 6
            ]
            found |= {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def shown_in(data: bytes | str, *secrets: str) -> list[str]:
    """Where `data` tells one of the secrets: the place, with a little of what stands around it."""
    data = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    places = ((data.find(form), len(form)) for secret in secrets for form in forms(secret))
    return [
        data[max(0, at - 60) : at + length].decode(errors="replace")
        for at, length in sorted(places)
        if at >= 0
    ]


def left_in(folder: Path, *secrets: str) -> dict[str, str]:
    """The files under a folder that tell one of the secrets, and a place where."""
    found = {}
    for file in sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    ):
        with suppress(FileNotFoundError):  # a running server's journal comes and goes
            if places := [place for data in contents(file) for place in shown_in(data, *secrets)]:
                found[str(file.relative_to(folder))] = places[0]
    return found


def contents(file: Path) -> Iterator[bytes]:
    """The bytes of a file; then its values, where the file holds them compressed or cut into
    pages.
    """
    data = file.read_bytes()
    yield data
    if data.startswith(b"PAR1"):
        table = pq.read_table(file)
        yield repr((table.to_pylist(), table.schema.metadata)).encode()
    if data.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                yield repr(database.execute(f'SELECT * FROM "{name}"').fetchall()).encode()
