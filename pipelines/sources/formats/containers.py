"""Members of an archive that hold others: inner archives, and files of several pages.

To change what is inside, a container is written anew into a temporary file, one at a time, and
mapped into memory from there: it is a new payload of its archive. A container in which nothing
could be changed stays as it is.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from pipelines.records import Member
from pipelines.sources.splice import NewPayload, PayloadOf, mapped_payload
from pipelines.storage.local import local_temporary

# Writes a container anew to a path, with changes for some of what is inside, and returns the
# positions of what it refuses. The path is of no use where that is all.
WriteContainer = Callable[[Member, Sequence[Member], Path], Collection[int]]


class Listing(Protocol):
    """A format of archive that lists its members."""

    def list_members(self, file: BinaryIO) -> Iterator[Member]:
        """The members of an open archive in its order."""


def members_at(archive: Listing, file: BinaryIO, positions: Collection[int]) -> list[Member]:
    """The members of an open archive at these positions, as it lists them."""
    return [member for member in archive.list_members(file) if member.position in positions]


class ContainerPayloads:
    """The new payloads of an archive in which some containers change.

    Attributes:
        containers: Those that change, as the archive lists them.
    """

    def __init__(
        self,
        archive: Listing,
        source: BinaryIO,
        inside: Mapping[int, Sequence[Member]],
        payload_of: PayloadOf,
        write: WriteContainer,
    ) -> None:
        """Look the containers up.

        Args:
            archive: The format of the archive that they are directly in.
            source: That archive.
            inside: What is to change, by the position of its container.
            payload_of: The new payloads of members that are no containers.
            write: Writes one container.
        """
        self.containers = members_at(archive, source, inside.keys())
        self._by_position = {container.position: container for container in self.containers}
        self._inside = inside
        self._payload_of = payload_of
        self._write = write
        self._refused: set[int] = set()

    def payload(self, position: int) -> NewPayload | None:
        """The new payload of a member; None where that stays as it is."""
        container = self._by_position.get(position)
        if container is None:
            return self._payload_of(position)
        inside = self._inside[position]
        with local_temporary() as whole:
            refused = self._write(container, inside, whole)
            self._refused.update(refused)
            return mapped_payload(whole) if len(refused) < len(inside) else None

    def refused_by(self, positions: Collection[int]) -> set[int]:
        """All that is refused, where the archive refuses the members at these positions.

        With a container goes what is inside, and so it does where the container is not there.
        """
        refused = set(self._refused)
        refused.update(position for position in positions if position not in self._inside)
        for position, inside in self._inside.items():
            if position in positions or position not in self._by_position:
                refused.update(member.position for member in inside)
        return refused
