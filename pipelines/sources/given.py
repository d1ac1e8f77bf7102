"""SRC as it was given, and which sources it takes in."""

from collections.abc import Sequence

from pipelines.records import Source
from pipelines.storage.open import split_glob


def full_src(src: str) -> str:
    """SRC as a full path or URL, so that two ways of writing one place are the same."""
    base, pattern = split_glob(src)
    return f"{base.uri}/{pattern}" if pattern else base.uri


def src_of(source: Source, given: Sequence[str]) -> str:
    """Which of several SRCs takes a source in, as a full path or URL.

    Args:
        source: A source that was discovered under one of them.
        given: All of them, as they were given.
    """
    best = ""
    longest = -1
    for src in given:
        base, _ = split_glob(src)
        is_inside = source.uri == base.uri or source.uri.startswith(f"{base.uri.rstrip('/')}/")
        # A single image is a folder of one file: its base is the file itself.
        if (is_inside or len(given) == 1) and len(base.uri) > longest:
            best = full_src(src)
            longest = len(base.uri)
    return best
