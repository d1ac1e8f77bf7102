"""What is known of an image after it was judged and cleaned."""

from dataclasses import dataclass
from typing import Literal

from demoire.imaging.facts import ImageFacts
from demoire.moire import MoireKind

Status = Literal["cleaned", "copied", "quarantined"]
Stage = Literal["decode", "detect", "restore", "encode"]


@dataclass(frozen=True)
class Detection:
    """What the detector says of an image."""

    moire: float  # probability, 0..1
    kind: MoireKind  # "none" below the threshold
    tiles: int  # cells that were looked at; 0 for an image too small to show moiré
    flagged: tuple[int, ...]  # cells with moiré, numbered row by row; empty below the threshold


@dataclass(frozen=True)
class Cleaned:
    """An image file after cleaning. Unless `cleaned`, `data` is the very object that came in."""

    data: bytes
    status: Status
    # why quarantined, or why copied although it may have moiré; None for a plain copy
    reason: str | None
    facts: ImageFacts | None  # None where not even the header could be read
    moire_before: float | None  # None where the detector has not looked
    moire_after: float | None  # of the changed pixels before they are encoded; None unless cleaned
    moire_kind: MoireKind | None
    tiles: int  # cells that were looked at
    tiles_restored: int  # cells
    psnr_vs_input: float | None  # dB; these three are None unless cleaned
    ssim_vs_input: float | None
    colour_shift: float | None  # CIEDE2000
    milliseconds: dict[Stage, float]
