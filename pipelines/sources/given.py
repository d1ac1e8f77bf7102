"""SRC as it was given, one or several, and where each of them lies under DST.

SRC lies in DST as it would alone. Each further one lies under its own last name, so that none moves
when another is added:

    a folder        /data/1931        DST/1931/...
    an archive      /data/box7.tar    DST/box7.tar
    an image        /data/map/1.jpg   DST/map/1.jpg
    a glob          /data/maps/*.zip  DST/maps/..., by the folder before the first wildcard

Two that would lie in one place are refused before any work.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from demoire.errors import UsageError
from pipelines.layout import BOOKKEEPING
from pipelines.names import shown
from pipelines.records import Source
from pipelines.sources.discover import discover
from pipelines.storage.open import open_place, split_glob

_WILDCARD = re.compile(r"[*?\[]")


def all_given(src: str, also: Sequence[str]) -> list[str]:
    """SRC and the further ones; SRC may be '' where a list names all."""
    return [src, *also] if src else list(also)


def named_together(src: str, also: Sequence[str]) -> str:
    """The SRCs in a few words, for a sentence or a heading."""
    first, *others = all_given(src, also)
    if not others:
        return first
    return f"{first} and {len(others)} more"


def discover_given(src: str, also: Sequence[str]) -> list[Source]:
    """List the sources under SRC and the further ones, each in its own place under DST, by path.

    Args:
        src: As for `discover`; '' where the further ones are all there are.
        also: Further ones like it.

    Raises:
        UsageError: One holds nothing, or two would lie in one place.
        StorageError: One cannot be read.
    """
    if not also:
        return discover(src)
    sources = discover(src) if src else []
    taken = {source.path.partition("/")[0]: src for source in sources}
    for further in also:
        inside = discover(further)
        home = _home_of(further, inside)
        if home in taken:
            raise UsageError(
                f"{shown(taken[home])} and {shown(further)} would both lie at {shown(home)} under "
                "DST: give the folder that holds both, or clean one of them into another DST."
            )
        taken[home] = further
        sources += [_moved(source, home) for source in inside]
    _check_once(sources)
    return sorted(sources, key=lambda source: (source.path, source.kind, source.uri))


def full_src(src: str) -> str:
    """SRC as a full path or URL, so that two ways of writing one place are the same.

    It touches nothing: SRC need not be there any more.
    """
    return open_place(src).uri


def src_of(source: Source, given: Sequence[str]) -> str:
    """Which of several SRCs takes a source in, as a full path or URL.

    Args:
        source: A source that was discovered under one of them.
        given: All of them, as they were given.
    """
    best = full_src(given[0])
    longest = -1
    for src in given:
        full = full_src(src)
        base = full
        wildcard = _WILDCARD.search(full)
        if wildcard is not None:
            base = full[: wildcard.start()].rpartition("/")[0]
        is_inside = source.uri == base or source.uri.startswith(f"{base.rstrip('/')}/")
        if is_inside and len(base) > longest:
            best = full
            longest = len(base)
    return best


def _home_of(further: str, inside: Sequence[Source]) -> str:
    """The name under DST below which all of a further SRC lies."""
    base, pattern = split_glob(further)
    parts = base.uri.rstrip("/").split("/")
    is_one_image = not pattern and inside[0].kind == "folder" and base.stat("") is not None
    home = parts[-2] if is_one_image else parts[-1]
    if not home or home == BOOKKEEPING:
        raise UsageError(
            f"{shown(further)} has no name that its mirror could lie under: give it alone, as SRC."
        )
    return home


def _moved(source: Source, home: str) -> Source:
    """The source below its home; an archive that was given by itself is its own home."""
    if source.path == home and source.kind != "folder":
        return source
    return replace(source, path=f"{home}/{source.path}".rstrip("/"))


def _check_once(sources: Sequence[Source]) -> None:
    seen = set()
    for source in sources:
        if source.id in seen:
            raise UsageError(
                f"{shown(source.uri)} is given twice: leave one of them out of the sources."
            )
        seen.add(source.id)
