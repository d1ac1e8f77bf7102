"""What the marker of a committed unit says."""

import json
from dataclasses import asdict, dataclass, field
from typing import ClassVar, NamedTuple

from pydantic import ConfigDict, TypeAdapter


class Payload(NamedTuple):
    """Where a cleaned payload lies in its segment. A list in JSON: a marker holds up to 32."""

    position: int  # of the member in its source
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class Commit:
    """A unit's marker."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    unit_id: str
    source_id: str
    attempt: int
    segment: str  # name in its folder; '' where nothing was cleaned
    rows: str  # name in its folder
    payloads: tuple[Payload, ...]
    images: int
    cleaned: int
    copied: int
    quarantined: int
    megapixels: float
    reasons: dict[str, int] = field(default_factory=dict)  # of the quarantined
    committed_at: str = ""  # UTC, ISO 8601

    @property
    def segment_start(self) -> int:
        """Where its first payload begins in the segment; not 0 where units share one."""
        return self.payloads[0].offset if self.payloads else 0

    def to_json(self) -> bytes:
        """The marker as it is stored."""
        return json.dumps(asdict(self)).encode()


COMMIT_FORM = TypeAdapter(Commit)
