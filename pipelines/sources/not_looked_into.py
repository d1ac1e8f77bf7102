"""Files that look like work and get no row: they are mirrored, and counted by kind.

    archive inside an archive      one that is not looked into (`formats.nesting`)
    files packed as .7z            or .rar, .cbr and the like, by suffix (`unopened`)
    unknown raw file               a camera's, by its name
    image without a suffix         by its first bytes
    without a suffix, not opened   one of too many, or in an archive that is read in one stream

Names tell the first three for nothing. Of names without a suffix at most 32 a source are looked at,
spread evenly over it, with one small read each; the others are counted as not opened.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from demoire.errors import ImageError
from demoire.imaging.formats import recognise
from demoire.reasons import Reason
from pipelines.records import Member, Source
from pipelines.sources.inner_positions import container_position, is_inner
from pipelines.sources.members import archive_kind, suffix_of
from pipelines.sources.unopened import unopened_suffix

PEEKS = 32  # names without a suffix that are looked at, of a source
PEEK_BYTES = 64  # of each of them; the longest signature is shorter

_UNKNOWN_RAW = frozenset(
    {".raw", ".crw", ".rwl", ".gpr", ".bay", ".cap", ".fff", ".mdc", ".ptx", ".pxn", ".rwz"}
    | {".k25", ".kc2", ".dcs", ".drf", ".eip", ".cs1", ".cine", ".r3d", ".braw", ".ari", ".qtk"}
)


def peeked(members: Sequence[Member], head_of: Callable[[Member], bytes]) -> list[Member]:
    """Members with what the first bytes of some without a suffix say.

    Args:
        members: All members of a source that can be read by range.
        head_of: Reads the first bytes of a member's unpacked payload; fewer, or none, where they
            cannot be had.
    """
    without_suffix = []
    for member in members:
        if _could_be_image(member) and member.offset >= 0:
            without_suffix.append(member)
    step = max(1, -(-len(without_suffix) // PEEKS))
    contents = {}
    for member in without_suffix[::step]:
        start = replace(member, length=min(member.length, PEEK_BYTES))
        contents[member.position] = _is_image(head_of(start))
    looked_at = []
    for member in members:
        is_image = contents.get(member.position)
        if is_image is not None:
            member = replace(member, content="image" if is_image else "other")
        looked_at.append(member)
    return looked_at


def count_not_looked_into(source: Source, members: Sequence[Member]) -> Counter[str]:
    """How many members of a source look like work and get no row, by kind."""
    looked_into = set()  # positions of inner archives
    for member in members:
        if is_inner(member.position):
            looked_into.add(container_position(member.position))
    counts: Counter[str] = Counter()
    for member in members:
        if member.kind != "other" or member.position in looked_into:
            continue
        kind = _kind_of(source, member)
        if kind is not None:
            counts[kind] += 1
    return counts


def _kind_of(source: Source, member: Member) -> str | None:
    suffix = suffix_of(member.name)
    if member.content == "other":
        return None
    if source.kind != "folder" and archive_kind(member.name) is not None:
        return "archive inside an archive"
    packed = unopened_suffix(member.name)
    if packed is not None:
        return f"files packed as {packed}"
    if suffix in _UNKNOWN_RAW:
        return "unknown raw file"
    if member.content == "image":
        return "image without a suffix"
    if member.content == "" and _could_be_image(member):
        return "without a suffix, not opened"
    return None


def _could_be_image(member: Member) -> bool:
    return (
        member.kind == "other"
        and member.size > 0
        and not member.name.endswith("/")
        and not suffix_of(member.name)
    )


def _is_image(head: bytes) -> bool:
    try:
        recognise(head)
    except ImageError as error:
        return error.reason in (Reason.UNSUPPORTED_FORMAT, Reason.MULTI_PAGE)
    return True
