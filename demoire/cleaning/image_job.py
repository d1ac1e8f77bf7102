"""One image on its way through the cleaner, and the states it goes through.

    Waiting -> Opened -> Decoded         in a decoding thread
    -> BeingJudged -> BeingTurned        the detector; the latter for images in doubt
    -> BeingRestored                     the restorer
    -> Written                           in an encoding thread
    -> BeingJudgedAgain -> Done          the detector once more

An image becomes Copied where there is nothing to change or nothing to gain, and Failed where
something is wrong with it; both lead to Done.

A state holds what is known by then and no more, so pixels and changes are freed as soon as the
image leaves the state that needs them. Decoding and encoding threads replace a job's state before
they hand it over; from then on it belongs to the thread that asks for results.
"""

from dataclasses import dataclass, field, replace
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.blend import Blending
from demoire.cleaning.cell_scores import CellScores, TurnedScores
from demoire.cleaning.grid import Grid
from demoire.cleaning.result import Cleaned, Detection, ImageStatus, Stage
from demoire.cleaning.windows import Window, tiles_of
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.facts import ImageFacts
from demoire.imaging.images import OpenedImage, Picture
from demoire.reasons import Reason

K = TypeVar("K")

_STAGES: tuple[Stage, ...] = ("decode", "detect", "restore", "encode")


def grid_of(picture: Picture) -> Grid:
    """The detector cells of a picture."""
    return Grid(picture.facts.height, picture.facts.width)


@dataclass(frozen=True)
class Decision:
    """What was decided about an image that is to be restored."""

    picture: Picture
    probabilities: NDArray[np.float32]  # (cells, 4)
    detection: Detection
    flagged: tuple[int, ...]  # cells to restore: all of them where the gate is off


@dataclass(frozen=True)
class Restoration:
    """A restored picture, measured and written."""

    pixels: Pixels  # as they are in the file: coarse JPEG may bring back what was taken away
    data: FileBytes  # the whole file
    psnr: float  # dB; these three of what is in the file, against the pixels as they were
    ssim: float
    colour_shift: float  # CIEDE2000


@dataclass(frozen=True)
class Waiting:
    """Only its bytes are known."""


@dataclass(frozen=True)
class Opened:
    """Its header is read. Holds what the decoder goes on from."""

    image: OpenedImage


@dataclass(frozen=True)
class Decoded:
    """Its pixels are there; nobody has looked at them."""

    picture: Picture


@dataclass(frozen=True)
class BeingJudged:
    """Its cells are with the detector."""

    picture: Picture
    scores: CellScores

    @classmethod
    def begin(cls, picture: Picture) -> "BeingJudged":
        """Nothing is judged yet."""
        return cls(picture, CellScores.of(picture.facts.height, picture.facts.width))

    @property
    def pixels(self) -> Pixels:
        """What the detector looks at."""
        return self.picture.pixels


@dataclass(frozen=True)
class BeingTurned:
    """It is in doubt: the cells that decide are with the detector again, turned."""

    picture: Picture
    scores: TurnedScores

    @classmethod
    def begin(cls, state: BeingJudged, cells: tuple[int, ...]) -> "BeingTurned":
        """Nothing but the first look has been taken at these cells."""
        return cls(state.picture, TurnedScores(state.scores.probabilities, cells))

    @property
    def pixels(self) -> Pixels:
        """What the detector looks at."""
        return self.picture.pixels


@dataclass(frozen=True)
class BeingRestored:
    """Its windows are with the restorer, or done and waiting to be blended."""

    decision: Decision
    windows: tuple[Window, ...]
    blending: Blending  # takes the changes as they come

    @classmethod
    def begin(cls, decision: Decision, windows: tuple[Window, ...]) -> "BeingRestored":
        """Nothing is restored yet."""
        picture = decision.picture
        tiles = tiles_of(windows)
        blending = Blending(picture.pixels, grid_of(picture), decision.flagged, tiles)
        return cls(decision, windows, blending)

    @property
    def complete(self) -> bool:
        """Whether the restorer is done with all windows."""
        return self.blending.complete


@dataclass(frozen=True)
class Copied:
    """It goes back as it came, and nothing is wrong with it."""

    reason: str | None  # why, where it may have moiré; None where there is nothing to change
    detection: Detection
    grey: bytes | ImageError | None = None  # as in `Cleaned`


@dataclass(frozen=True)
class Written:
    """The restored picture is a file."""

    decision: Decision
    restoration: Restoration


@dataclass(frozen=True)
class BeingJudgedAgain:
    """Its restored cells are with the detector."""

    decision: Decision
    restoration: Restoration
    scores: CellScores

    @classmethod
    def begin(cls, state: Written) -> "BeingJudgedAgain":
        """Judge the restored cells; all others keep the probabilities that they have."""
        decision = state.decision
        was_judged = decision.detection.cells > 0
        cells = decision.flagged if was_judged else ()
        scores = CellScores(decision.probabilities.copy(), cells)
        return cls(decision, state.restoration, scores)

    @property
    def picture(self) -> Picture:
        """The picture as it came."""
        return self.decision.picture

    @property
    def pixels(self) -> Pixels:
        """What the detector looks at: the restored pixels."""
        return self.restoration.pixels


@dataclass(frozen=True)
class Failed:
    """Something is wrong with it; it goes back as it came."""

    error: ImageError
    detection: Detection | None  # None where the detector has not finished

    @property
    def status(self) -> ImageStatus:
        """Quarantined, or simply copied where its format is not cleaned at all."""
        return "copied" if self.error.reason.status == "copied" else "quarantined"


@dataclass(frozen=True)
class Done:
    """Its result is ready. What the models still hold of it is thrown away."""


WithDetector: TypeAlias = BeingJudged | BeingTurned | BeingJudgedAgain

State: TypeAlias = (
    Waiting
    | Opened
    | Decoded
    | BeingJudged
    | BeingTurned
    | BeingRestored
    | Copied
    | Written
    | BeingJudgedAgain
    | Failed
    | Done
)


@dataclass(eq=False)
class ImageJob(Generic[K]):
    """One image on its way; equal to itself alone.

    Attributes:
        key: The caller's name for it.
        data: The file as it came.
        facts: What its header says; None where it could not be read.
        state: What it is at.
    """

    key: K
    data: FileBytes
    facts: ImageFacts | None = None
    state: State = field(default_factory=Waiting)
    _milliseconds: dict[Stage, float] = field(default_factory=dict)

    def spend(self, stage: Stage, seconds: float) -> None:
        """Add to the time that a stage took for this image."""
        self._milliseconds[stage] = self._milliseconds.get(stage, 0.0) + 1e3 * seconds

    def fail(self, error: ImageError) -> None:
        """Give the image up; what the detector has said about it stays known."""
        self.state = Failed(error, detection_in(self.state))

    def as_it_came(
        self, status: ImageStatus, reason: str | None, detection: Detection | None
    ) -> Cleaned:
        """The result of an image that is not changed."""
        if detection is not None and detection.cells == 0:
            detection = None  # too small: the detector has not looked
        return Cleaned(
            data=self.data,
            status=status,
            reason=reason,
            facts=self.facts,
            moire_before=detection.moire if detection else None,
            moire_after=None,
            moire_kind=detection.kind if detection else None,
            cells=detection.cells if detection else 0,
            cells_restored=0,
            psnr_vs_input=None,
            ssim_vs_input=None,
            colour_shift=None,
            milliseconds={stage: self._milliseconds.get(stage, 0.0) for stage in _STAGES},
        )

    def restored(self, state: BeingJudgedAgain, moire_after: float | None) -> Cleaned:
        """The result of an image that is."""
        decision = state.decision
        restoration = state.restoration
        reason = None
        if decision.picture.gives_up_signature:
            reason = Reason.SIGNATURE_REMOVED.value
        return replace(
            self.as_it_came("cleaned", reason, decision.detection),
            data=restoration.data,
            moire_after=moire_after,
            cells_restored=len(decision.flagged),
            psnr_vs_input=restoration.psnr,
            ssim_vs_input=restoration.ssim,
            colour_shift=restoration.colour_shift,
        )


def detection_in(state: State) -> Detection | None:
    """What the detector has said about an image in this state; None where it has not finished."""
    match state:
        case BeingRestored() | Written() | BeingJudgedAgain():
            return state.decision.detection
        case Copied() | Failed():
            return state.detection
    return None
