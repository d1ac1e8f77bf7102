"""What a run is asked to do, and what it came to."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from demoire.cleaning.config import CleanerConfig
from pipelines.names import shown

_NAMED = 20  # paths that are named


@dataclass(frozen=True)
class CleanJob:
    """What is to be cleaned, where to, and how.

    It holds no credentials: those stay in the environment.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    src: str
    dst: str
    config: CleanerConfig = CleanerConfig()
    workers: int | None = None  # actors; None: one for about four cores, at least one a GPU
    gpus: int | None = None  # to ask a cluster for that grows; None: those that are there
    ray_address: str | None = None  # of a cluster; None: this machine
    sample: int | None = None  # clean only so many images, chosen evenly
    stall_minutes: float = 30.0  # without a finished image until the work is begun anew
    merge: bool = False  # a DST that holds other things will do; nothing there is replaced
    fixity: Literal["report", "update"] = "report"  # what is done about checksums that turn wrong
    also: tuple[str, ...] = ()  # further SRCs; src is '' where they are all there are
    prune: bool = False  # remove from the mirror what has left SRC

    def to_dict(self) -> dict[str, Any]:
        """The job as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class ObjectList:
    """Objects under DST: how many, and the first of them by name."""

    count: int = 0
    first: tuple[str, ...] = ()  # paths under DST, in order, as they can be shown

    @staticmethod
    def of(paths: list[str]) -> "ObjectList":
        """The list of these paths."""
        first = sorted(paths)[:_NAMED]
        return ObjectList(len(paths), tuple(shown(path) for path in first))


@dataclass(frozen=True)
class RunSummary:
    """What a run came to.

    The counts are of all that is published of the job, `seconds` and `mps` of this run.
    """

    run_id: str
    images: int
    cleaned: int
    copied: int
    quarantined: int
    others: int  # members that are no images, mirrored untouched
    megapixels: float
    seconds: float
    mps: float  # MP/s while cleaning; 0 if nothing was left to clean
    moire_before: float | None  # means over the cleaned
    moire_after: float | None
    report: str  # full path of the HTML page
    foreign: ObjectList = ObjectList()  # somebody else's, where mirrors would go; it stayed
    left: ObjectList = ObjectList()  # mirrors of what has left SRC
    pruned: int = 0  # of these, removed by this run
    withheld: int = 0  # objects of SRC that are not in the mirror
    withheld_names: tuple[str, ...] = ()  # the first of them, each with its reason
