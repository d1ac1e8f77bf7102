"""What decides how images are cleaned, and the digest of all that can change the outcome.

Apart from the Cleaner, because whoever plans or reports needs no torch for it. The fingerprint
reads the weights files, of which only a checkpoint of another program (.pth, .pt) imports torch.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from demoire.errors import UsageError
from demoire.imaging.limits import MAX_MEGAPIXELS, MAX_SIDE
from demoire.models.weights import find_model
from demoire.moire import CELL

Gate = Literal["auto", "off"]
Bilevel = Literal["copy", "grey"]

CLEANING_VERSION = "4"  # to be raised whenever the same weights would give other bytes


@dataclass(frozen=True)
class CleanerConfig:
    """What decides how images are cleaned.

    Attributes:
        gate: "auto": only images with moiré are restored. "off": every cell is, whatever the
            detector says.
        threshold: Image score from which an image is cleaned, 0..1; None for the weights' own.
        detector: Name of shipped weights, or path of a .safetensors file.
        restorer: The same, or path of a checkpoint (.pth, .pt).
        device: auto, cpu, cuda or cuda:N.
        max_megapixels: MP above which an image is not decoded.
        max_side: px of the longer side above which an image is not decoded.
        allow_signed: Clean pictures that carry a signed manifest (C2PA), and leave it out.
        provenance: Write into the XMP of a cleaned file what changed it.
        bilevel: "grey": a picture of black and white dots gets a grey one beside it, never instead.
        office: Of an archive, clean the pictures in office documents too.
        rewrite: Write a PDF with cleaned pictures anew, without the old ones.
        tile: px that a tile has at most on each side; see `demoire.cleaning.windows`.
        threads: Of torch on the CPU; 0 for one on each core. A Cleaner leaves its process alone:
            whoever owns the process passes this to `use_threads`.
    """

    gate: Gate = "auto"
    threshold: float | None = None
    detector: str = "detector"
    restorer: str = "restorer"
    device: str = "auto"
    max_megapixels: float = MAX_MEGAPIXELS
    max_side: int = MAX_SIDE
    allow_signed: bool = False
    provenance: bool = True
    bilevel: Bilevel = "copy"
    office: bool = False
    rewrite: bool = False
    tile: int = 1024
    threads: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: One of them is out of range.
        """
        if self.gate not in ("auto", "off"):
            raise UsageError(f"There is no gate '{self.gate}'; use auto or off.")
        if self.bilevel not in ("copy", "grey"):
            raise UsageError(f"There is no bilevel '{self.bilevel}'; use copy or grey.")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(
                f"The threshold {self.threshold} is not a probability; use a number from 0 to 1."
            )
        has_limits = self.max_megapixels > 0 and self.max_side > 0
        if self.tile < CELL or self.threads < 0 or not has_limits:
            raise UsageError(
                f"tile is at least {CELL} px, threads at least 0, "
                "max_megapixels and max_side above 0."
            )

    def fingerprint(self) -> str:
        """sha256, 64 hex digits, over all that can change the output.

        It is the key by which finished work is never done again. The device and the threads are
        left out, since they do not decide about an image.

        Raises:
            WeightsError: Weights are missing, damaged or of the other model.
        """
        decides = {
            "cleaning": CLEANING_VERSION,
            "detector": find_model("detector", self.detector).digest,
            "restorer": find_model("restorer", self.restorer).digest,
            "gate": self.gate,
            "threshold": self.threshold,
            "allow_signed": self.allow_signed,
            "provenance": self.provenance,
            "tile": self.tile,
            "max_megapixels": float(self.max_megapixels),
            "max_side": self.max_side,
        }
        if self.office:
            decides["office"] = True  # without it the fingerprint stays what it always was
        if self.rewrite:  # else it stays what it was before there was such a thing
            decides["rewrite"] = True
        if self.bilevel != "copy":  # likewise; a committed unit has its grey pictures
            decides["bilevel"] = self.bilevel
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
