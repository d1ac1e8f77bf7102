"""The index of a source: its members, each with its byte range and size."""

from dataclasses import dataclass
from functools import cached_property

from pipelines.names import shown
from pipelines.records import Member, Source
from pipelines.sources.formats import source_format
from pipelines.sources.members import DamagedArchiveError


@dataclass(frozen=True)
class SourceIndex:
    """What one source holds: every member, once, in the source's own order.

    Listing a source is the expensive part (requests, header probes, for a compressed tar the whole
    archive), so a run makes one index of each source and hands on what later steps need of it: the
    images become units, `others` and `unsafe` are what the mirror and the report need besides.
    """

    source: Source
    members: tuple[Member, ...]

    @cached_property
    def images(self) -> tuple[Member, ...]:
        """The members to be cleaned or copied, one report row each."""
        return tuple(member for member in self.members if member.kind == "image")

    @cached_property
    def others(self) -> tuple[Member, ...]:
        """The members that are mirrored untouched, without a report row."""
        kinds = ("other", "link", "marker")
        return tuple(member for member in self.members if member.kind in kinds)

    @cached_property
    def unsafe(self) -> tuple[Member, ...]:
        """The members that are quarantined as `unsafe_name` without being read."""
        return tuple(member for member in self.members if member.kind == "unsafe")

    @cached_property
    def withheld(self) -> tuple[Member, ...]:
        """The members that are not in the mirror, each with its reason."""
        return tuple(member for member in self.members if member.kind == "withheld")


def index(source: Source, *, office: bool = False) -> SourceIndex:
    """Index a source, with the megapixels of its images estimated.

    Args:
        source: What `discover` listed.
        office: Whether office documents in it are looked into.

    Returns:
        All members of the source.

    Raises:
        SourceChangedError: The source is no longer what was discovered.
        DamagedArchiveError: The archive does not check out.
    """
    try:
        members = source_format(source.kind).index(source, office=office)
    except DamagedArchiveError as error:
        raise DamagedArchiveError(
            f"{shown(source.uri)} is damaged ({shown(str(error))}): it is copied as it is, unpack "
            "or repair it to have its images cleaned."
        ) from error
    return SourceIndex(source, tuple(members))
