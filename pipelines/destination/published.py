"""What is said of a source that is published."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict


@dataclass(frozen=True)
class Published:
    """A source's marker: what was published, of what, and how many of each."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    source_id: str
    path: str  # under DST, as it is stored; '' for the top folder
    version: str  # of the source
    fingerprint: str
    sample: int | None
    generation: int  # of the latest retry in it
    size: int  # bytes of the mirror, with what found its place taken
    files: int  # of the mirror; 1 for an archive, 0 where its place is taken
    withheld: int  # objects that are not in the mirror
    others: int
    cleaned: int
    copied: int
    quarantined: int
    megapixels: float
    moire_before: float  # sums over the cleaned
    moire_after: float
    foreign: int = 0  # objects of somebody else's, where those of the mirror would go
    left: int = 0  # objects of the mirror that have left SRC
    folders: int = 0  # 1 where the folder itself was listed, as an empty one or by a bucket's key
    late_rows: int = 0  # of what DST refused, and that has no row by the plan
    rows_digest: str = ""  # see `RowsDigest`; '' before it was kept

    @property
    def images(self) -> int:
        """Rows of its report that are images."""
        return self.cleaned + self.copied + self.quarantined
