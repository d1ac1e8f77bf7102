"""The rival of the bench: a plain script, one whole picture after another."""

import io
import itertools
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from demoire.cleaning.cleaner import Models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine
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
                    data = to_jpeg(restored)
                    entry.size = len(data)
                new.addfile(entry, io.BytesIO(data))
                megapixels += pixels.shape[0] * pixels.shape[1] / 1e6
        return megapixels

    def restored(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Restore (H, W, 3) sRGB as a whole; None where there was no moiré."""
        height, width = pixels.shape[:2]
        with torch.inference_mode():
            x = torch.from_numpy(pixels.copy()).to(self.engine.device)
            x = x.permute(2, 0, 1)[None].float() / 255
            if self.config.gate == "auto" and not self._has_moire(x):
                return None
            x = _padded(x, self.engine.multiple).contiguous(memory_format=torch.channels_last)
            with self.engine.autocast(enabled=self.engine.restores_in_bfloat16):
                y = self.models.restorer(x)
            y = y[0, :, :height, :width].float().clamp(0, 1)
            levels = (y * 255).round().byte().permute(1, 2, 0).contiguous()
            restored: NDArray[np.uint8] = levels.cpu().numpy()
            return restored

    def _has_moire(self, x: Tensor) -> bool:
        """Judge (1, 3, H, W) cell by cell, by the cleaner's rule."""
        cells = _padded(x, CELL).unfold(2, CELL, CELL).unfold(3, CELL, CELL)
        cells = cells.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, CELL, CELL)
        cells = cells.contiguous(memory_format=torch.channels_last)
        with self.engine.autocast(enabled=self.engine.judges_in_bfloat16):
            probabilities = self.models.detector.probabilities(cells)
        score, _ = image_score(probabilities.float().cpu().numpy())
        return bool(score >= self.threshold)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """(N, C, H, W) continued by reflection to a multiple of `multiple` px."""
    height, width = x.shape[2:]
    right = -width % multiple
    below = -height % multiple
    return nn.functional.pad(x, (0, right, 0, below), mode="reflect")
