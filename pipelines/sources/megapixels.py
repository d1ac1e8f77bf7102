"""How many megapixels the images of a source have, without decoding them.

The headers of at most 32 images a source are read, 64 KB each, spread evenly over it. The others
are judged by the bytes a pixel of those of their own format. An error of some ten per cent is
harmless: it only decides how many images make a unit, and the estimate of the cost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from demoire.errors import ImageError
from demoire.imaging.images import probe
from pipelines.records import Member
from pipelines.sources.members import suffix_of

PROBES = 32  # images of a source whose headers are read
PROBE_BYTES = 64 << 10  # of each of them

# Megapixels a byte, where not one header of a source could be read.
_TYPICAL = {".png": 0.7e-6, ".bmp": 0.33e-6, ".tif": 0.33e-6, ".tiff": 0.33e-6, ".webp": 5e-6}
_TYPICAL_OTHER = 2.5e-6


class _Rate:
    """Megapixels and encoded bytes of some images."""

    def __init__(self) -> None:
        self.megapixels = 0.0
        self.bytes = 0

    def add(self, megapixels: float, size: int) -> None:
        self.megapixels += megapixels
        self.bytes += size

    @property
    def megapixels_a_byte(self) -> float:
        return self.megapixels / self.bytes if self.bytes else 0.0


def probed_megapixels(head: bytes) -> float | None:
    """The megapixels of an image by its first bytes; None where they do not tell."""
    try:
        return probe(head).megapixels
    except ImageError:
        return None


def probe_members(members: Sequence[Member], head_of: Callable[[Member], bytes]) -> list[Member]:
    """Members with the megapixels of their images, from a few headers.

    Args:
        members: All members of a source that can be read by range.
        head_of: Reads the first `PROBE_BYTES` of a member's unpacked payload; fewer, or none, where
            they cannot be had.
    """
    readable = []
    for member in members:
        is_readable = member.offset >= 0 and not member.reason
        if member.kind == "image" and is_readable and member.length:
            readable.append(member)
    probed = {member.position: probed_megapixels(head_of(member)) for member in _spread(readable)}
    return with_megapixels(members, probed)


def with_megapixels(members: Sequence[Member], probed: Mapping[int, float | None]) -> list[Member]:
    """Members with the megapixels of their images, from headers that were read.

    Args:
        members: All members of a source.
        probed: Megapixels by position; None where the header did not tell.
    """
    overall = _Rate()
    by_suffix: dict[str, _Rate] = {}
    for member in members:
        megapixels = probed.get(member.position)
        if megapixels is not None:
            overall.add(megapixels, member.size)
            by_suffix.setdefault(suffix_of(member.name), _Rate()).add(megapixels, member.size)
    sized = []
    for member in members:
        if member.kind == "image" and not member.reason:
            megapixels = probed.get(member.position)
            if megapixels is None:
                megapixels = member.size * _rate_for(suffix_of(member.name), by_suffix, overall)
            member = replace(member, megapixels=megapixels)
        sized.append(member)
    return sized


def _rate_for(suffix: str, by_suffix: Mapping[str, _Rate], overall: _Rate) -> float:
    own = by_suffix.get(suffix)
    if own is not None and own.megapixels_a_byte:
        return own.megapixels_a_byte
    if overall.megapixels_a_byte:
        return overall.megapixels_a_byte
    return _TYPICAL.get(suffix, _TYPICAL_OTHER)


def _spread(members: Sequence[Member]) -> Iterable[Member]:
    """At most PROBES of the members, evenly from the first to the last."""
    if len(members) <= PROBES:
        return members
    last = len(members) - 1
    return [members[number * last // (PROBES - 1)] for number in range(PROBES)]
