"""The rivals of the bench: plain scripts, one whole picture after another.

The bare one cleans and does nothing else. The measuring one also fills in what a report row says of
the picture, so it is the one to compare with.
"""

import hashlib
import io
import itertools
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from demoire.cleaning.cleaner import Models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine
from demoire.measure import likeness
from demoire.models.detector import image_score
from demoire.moire import CELL
from pipelines.bench.collection import to_jpeg


@dataclass(frozen=True)
class Script:
    """What one would write instead: Pillow and torch, one whole picture after another.

    Nothing is overlapped. It has the same weights in the same layout and precision, and judges by
    the same rule; it keeps no metadata, measures nothing and proves nothing.
    """

    models: Models
    engine: Engine  # for its facts alone
    config: CleanerConfig
    threshold: float  # image score from which a picture is restored

    def clean(self, archive: Path, out: Path, count: int) -> float:
        """Clean the first `count` pictures of a tar into another one; the megapixels done."""
        megapixels = 0.0
        with tarfile.open(archive) as old, tarfile.open(out, "w") as new:
            for entry in itertools.islice(old, count):
                file = old.extractfile(entry)
                assert file is not None
                data = file.read()
                pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                restored = self.restored(pixels)
                if restored is not None:
                    original = data
                    data = to_jpeg(restored)
                    entry.size = len(data)
                    self.note(original, data, pixels, restored)
                new.addfile(entry, io.BytesIO(data))
                megapixels += pixels.shape[0] * pixels.shape[1] / 1e6
        return megapixels

    def note(
        self,
        original: bytes,
        data: bytes,
        pixels: NDArray[np.uint8],
        restored: NDArray[np.uint8],
    ) -> None:
        """Called with each restored picture, before and after; the bare script does nothing."""

    def restored(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Restore (H, W, 3) sRGB as a whole; None where there was no moiré."""
        height, width = pixels.shape[:2]
        with torch.inference_mode():
            x = self._input(pixels)
            if self.config.gate == "auto" and not self._has_moire(x):
                return None
            x = _padded(x, self.engine.multiple).contiguous(memory_format=torch.channels_last)
            with self.engine.autocast(enabled=self.engine.restores_in_bfloat16):
                y = self.models.restorer(x)
            y = y[0, :, :height, :width].float().clamp(0, 1)
            levels = (y * 255).round().byte().permute(1, 2, 0).contiguous()
            restored: NDArray[np.uint8] = levels.cpu().numpy()
            return restored

    def _input(self, pixels: NDArray[np.uint8]) -> Tensor:
        x = torch.from_numpy(pixels.copy()).to(self.engine.device)
        return x.permute(2, 0, 1)[None].float() / 255

    def _has_moire(self, x: Tensor) -> bool:
        return self._score(x) >= self.threshold

    def _score(self, x: Tensor) -> float:
        """Judge (1, 3, H, W) cell by cell, by the cleaner's rule."""
        cells = _padded(x, CELL).unfold(2, CELL, CELL).unfold(3, CELL, CELL)
        cells = cells.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, CELL, CELL)
        cells = cells.contiguous(memory_format=torch.channels_last)
        with self.engine.autocast(enabled=self.engine.judges_in_bfloat16):
            probabilities = self.models.detector.probabilities(cells)
        score, _ = image_score(probabilities.float().cpu().numpy())
        return float(score)


@dataclass(frozen=True)
class MeasuringScript(Script):
    """The same, and what a report row promises of a picture that was changed.

    The figures are taken by this project's own functions, which are faster than those of other
    packages: PSNR, SSIM, colour difference, the score afterwards, and both digests. What was
    written is read again.

    Attributes:
        rows: The figures of each restored picture.
    """

    rows: list[dict[str, float | str]] = field(default_factory=list)

    def note(
        self,
        original: bytes,
        data: bytes,
        pixels: NDArray[np.uint8],
        restored: NDArray[np.uint8],
    ) -> None:
        """Take the figures of one picture."""
        with torch.inference_mode():
            moire_after = self._score(self._input(restored))
        written = np.asarray(Image.open(io.BytesIO(data)))
        if written.shape != restored.shape:
            raise RuntimeError("what was written is read again as another picture")
        row: dict[str, float | str] = {
            "sha256_in": hashlib.sha256(original).hexdigest(),
            "sha256_out": hashlib.sha256(data).hexdigest(),
            "moire_after": moire_after,
            "psnr_vs_input": likeness.psnr(pixels, restored),
            "ssim_vs_input": likeness.block_ssim(pixels, restored),
            "colour_shift": likeness.colour_difference(pixels, restored),
        }
        self.rows.append(row)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """(N, C, H, W) continued by reflection to a multiple of `multiple` px."""
    height, width = x.shape[2:]
    right = -width % multiple
    below = -height % multiple
    return nn.functional.pad(x, (0, right, 0, below), mode="reflect")
