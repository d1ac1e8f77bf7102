"""What is known of an image after it was judged and cleaned."""

from dataclasses import dataclass
from typing import Literal

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.facts import ImageFacts
from demoire.moire import MoireKind

ImageStatus = Literal["cleaned", "copied", "quarantined"]
"""What became of an image. `copied` and `quarantined` ones are the bytes that came in."""

Stage = Literal["decode", "detect", "restore", "encode"]
"""A stage of cleaning whose time is measured."""


@dataclass(frozen=True)
class Detection:
    """What the detector says about an image.

    Attributes:
        moire: Probability that the image holds moiré, 0..1.
        kind: Kind of moiré; "none" below the threshold.
        cells: How many cells were judged; 0 for an image too small to show moiré.
        flagged: The cells with moiré, numbered row by row; empty below the threshold.
    """

    moire: float
    kind: MoireKind
    cells: int
    flagged: tuple[int, ...]


@dataclass(frozen=True)
class Cleaned:
    """An image file after cleaning.

    Attributes:
        data: The file; unless `status` is "cleaned", the very object that came in.
        status: What became of the image.
        reason: Why it is quarantined, or copied although it may hold moiré (a `Reason`'s value);
            `signature_removed` for a cleaned one that was signed; None for other cleaned ones and
            for a plain copy.
        facts: What its header says; None where not even that could be read.
        moire_before: The image's score, 0..1; None where the detector has not looked.
        moire_after: The score of the pixels in `data`; None unless cleaned.
        moire_kind: The kind of moiré; None where the detector has not looked.
        cells: How many cells the detector judged.
        cells_restored: How many of them were restored.
        psnr_vs_input: How near the pixels in `data` are to the old ones, dB; None unless cleaned.
        ssim_vs_input: The same as structural similarity in windows of 8 x 8 px, -1..1; None unless
            cleaned.
        colour_shift: Mean difference in colour, CIEDE2000; None unless cleaned.
        milliseconds: Time spent on this image by stage.
        grey: A grey PNG of a black and white picture whose dots stand for greys, where the
            configuration asks for one; the error where none could be made; None for all others.
    """

    data: FileBytes
    status: ImageStatus
    reason: str | None
    facts: ImageFacts | None
    moire_before: float | None
    moire_after: float | None
    moire_kind: MoireKind | None
    cells: int
    cells_restored: int
    psnr_vs_input: float | None
    ssim_vs_input: float | None
    colour_shift: float | None
    milliseconds: dict[Stage, float]
    grey: bytes | ImageError | None = None
