"""The cleaned images of one source, read back from the ledger and checked."""

import threading
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from demoire.file_bytes import FileBytes, digest_of, part_of
from pipelines.destination.commits import Commit
from pipelines.destination.ledger import Ledger


class CleanedPayloads:
    """The cleaned payloads of a source by position, a segment in memory at a time."""

    def __init__(self, ledger: Ledger, commits: Sequence[Commit]) -> None:
        self._ledger = ledger
        self._whereabouts = {
            payload.position: (commit, payload) for commit in commits for payload in commit.payloads
        }
        self._unit_id = ""  # of the segment in memory
        self._segment: FileBytes = b""
        self._reading = threading.Lock()

    @property
    def positions(self) -> AbstractSet[int]:
        """Positions in the source of all cleaned images."""
        return self._whereabouts.keys()

    def let_go(self) -> None:
        """Keep no segment in memory any longer; the next image asked for reads it again."""
        with self._reading:
            self._unit_id = ""
            self._segment = b""

    def length(self, position: int) -> int:
        """Bytes of a cleaned image; reads nothing."""
        return self._whereabouts[position][1].length

    def __call__(self, position: int) -> FileBytes:
        """A cleaned image.

        It is hashed here: what storage gives back is not trusted to be what was written.

        Raises:
            DemoireError: The bytes are not the ones that were committed.
        """
        commit, payload = self._whereabouts[position]
        with self._reading:
            if self._unit_id != commit.unit_id:
                self._segment = self._ledger.segment(commit)
                self._unit_id = commit.unit_id
            start = payload.offset - commit.segment_start
            data = part_of(self._segment, start, payload.length)
        if digest_of(data) != payload.sha256:
            raise self._ledger.damaged(commit)
        return data
