"""What the program looks like from outside, pinned to values that lie beside the tests.

A golden test runs the program (or calls one pure function), brings the result into a plain form
and compares it with a file in `tests/golden/pinned/`. It says nothing about how the program is
built, so only its imports change when modules move. What is pinned:

    help/*.txt         the help page of the program and of every command
    json/*.json        keys and types of what each command prints with --json
    report_*.json      columns of the report, and the rows of a small run
    bookkeeping_*.json names below DST/_demoire, keys of the markers, columns of the tables
    source_ids.json    ids of sources and, in unit_ids.json, of units for fixed members
    fingerprints.json  CleanerConfig.fingerprint, field by field, and the default one
    demo_mirror.json   names and order of the demo's mirror, and the bytes that it leaves alone

tests/golden/mirror.py compares all bytes of two demos on one machine.

Renew a value only when the change is meant, and let the commit say why:

    RENEW_GOLDEN=1 python -m pytest tests/golden -k NAME
    git diff tests/golden/pinned

The run that renews fails on every value it has written, so that it cannot pass for a test. Some
values carry a promise: with another unit id or fingerprint all finished work is done again, and
another report column breaks people's queries. The help pages also depend on the version of typer;
they are pinned for the one in `constraints.txt`.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

KEYS_ARE_DATA = {"quarantine", "reasons", "moire_kinds"}  # maps from what occurred to how often

PINNED = Path(__file__).parent / "pinned"
RENEW = "RENEW_GOLDEN"

_SIXTY_FOUR_HEX = re.compile(r"[0-9a-f]{64}")
_SIXTEEN_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
_EIGHT_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?![0-9a-f])")
_RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")


def assert_pinned_text(name: str, actual: str) -> None:
    """Compare a text with the file of that name, or renew the file."""
    path = PINNED / name
    if _is_renewing() and _read(path) != actual:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
        pytest.fail(f"renewed {name}: look at the difference, then run again", pytrace=False)
    assert actual == _read(path), f"not the pinned {name}; tests/golden/pinned.py says how to renew"


def assert_pinned(name: str, actual: Any) -> None:
    """Compare what JSON can hold with the file of that name; the order of keys counts."""
    assert_pinned_text(name, json.dumps(actual, indent=1, ensure_ascii=False) + "\n")


def read_pinned(name: str) -> Any:
    """What the JSON file of that name holds."""
    return json.loads((PINNED / name).read_text(encoding="utf-8"))


def types_of(value: Any) -> Any:
    """The same JSON with the type of each value in its place; a list becomes the types it holds."""
    if isinstance(value, Mapping):
        return {key: _types_under(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return _distinct_types(value)
    if value is None:
        return "null"
    return type(value).__name__


def _types_under(key: str, value: Any) -> Any:
    if key in KEYS_ARE_DATA:
        return {"*": _distinct_types(value.values())}
    return types_of(value)


def _distinct_types(values: Iterable[Any]) -> list[Any]:
    distinct: list[Any] = []
    for value in values:
        value_type = types_of(value)
        if value_type not in distinct:
            distinct.append(value_type)
    return distinct


def without_ids(name: str) -> str:
    """A file's name with placeholders for the ids in it, which differ from run to run."""
    name = _RUN.sub("RUN", name)
    name = _SIXTY_FOUR_HEX.sub("UNIT", name)
    name = _SIXTEEN_HEX.sub("ID", name)
    return _EIGHT_HEX.sub("NONCE", name)


def _is_renewing() -> bool:
    return os.environ.get(RENEW) == "1"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
