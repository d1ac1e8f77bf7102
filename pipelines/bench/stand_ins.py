"""Networks that cost nothing, or only a card's time, and pictures that they can tell apart.

What a picture costs apart from the networks depends on what they say: a copied one is decoded and
judged, a cleaned one is blended, measured, written and read again too. So the stand-ins decide and
change something. Their moiré is a wave of one period, drawn into the picture: the detector finds
it in a few rows of a cell, and the restorer subtracts it.
"""

import fcntl
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demoire.cleaning.cleaner import Models
from demoire.models.detector import Calibration, Detector
from demoire.moire import CELL, KINDS

_PERIOD = 16 / 3  # px; cells and the restorer's windows begin at multiples of 16 px
_AMPLITUDE = 8 / 255
_STEP = 8  # rows of a cell of which the detector looks at one
_WIDEST = 1 << 14  # px of a restorer's window
_NO_DIGEST = "0" * 64


def with_wave(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) with the stand-ins' moiré all over, nowhere at the end of the range."""
    wave = 255 * _wave(pixels.shape[1])
    waved: NDArray[np.uint8] = np.rint(0.9 * pixels + 12.5 + wave[None, :, None]).astype(np.uint8)
    return waved


def _wave(length: int) -> NDArray[np.float32]:
    phase = 2 * np.pi / _PERIOD * np.arange(length)
    wave: NDArray[np.float32] = (_AMPLITUDE * np.cos(phase)).astype(np.float32)
    return wave


@dataclass(frozen=True)
class Card:
    """Stands in for a GPU: whatever is computed on it takes time, and none of a core.

    Attributes:
        mps: Megapixels a second, of any network.
        lock: An empty file: while one process computes, all others wait.
    """

    mps: float
    lock: Path

    def compute(self, x: Tensor) -> None:
        """Take the time that (N, C, H, W) need."""
        pixels = len(x) * x.shape[2] * x.shape[3]
        with self.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            time.sleep(pixels / 1e6 / self.mps)


class WaveDetector(Detector):
    """Says "screen" where the wave has half of its amplitude.

    Args:
        card: What it computes on; None: it costs nothing.

    Attributes:
        seconds: What this stand-in has taken of its thread's core.
    """

    def __init__(self, card: Card | None = None) -> None:
        super().__init__(calibration=Calibration(threshold=0.5, cell_threshold=0.3))
        phase = 2 * np.pi / _PERIOD * np.arange(CELL)
        bell = np.hanning(CELL)
        probes = np.stack([np.cos(phase), np.sin(phase)], axis=1) * bell[:, None]
        self._probes = torch.from_numpy((2 * probes / bell.sum()).astype(np.float32))
        self._card = card
        self.seconds = 0.0

    def probabilities(self, x: Tensor) -> Tensor:
        """(N, 3, 256, 256) -> (N, 4); see `Detector.probabilities`."""
        start = time.thread_time()
        rows = x[:, 1, ::_STEP].mean(dim=1)
        amplitudes = (rows @ self._probes).norm(dim=1)
        moire = torch.where(amplitudes > _AMPLITUDE / 2, 0.99, 0.01)
        probabilities = torch.zeros(len(x), len(KINDS))
        probabilities[:, 0] = 1 - moire
        probabilities[:, 1] = moire
        self.seconds += time.thread_time() - start
        if self._card is not None:
            self._card.compute(x)
        return probabilities


class WaveRestorer(nn.Module):
    """Subtracts the wave.

    Args:
        card: What it computes on; None: it costs nothing.

    Attributes:
        halo: As that of the shipped restorers, px.
        multiple: Likewise.
        most: As that of the default one, pixels.
        computes_on: Of the engine: "cuda" where there is a card.
        seconds: What this stand-in has taken of its thread's core.
    """

    halo = 192
    multiple = 32
    most = 7_200_000

    def __init__(self, card: Card | None = None) -> None:
        super().__init__()
        self.computes_on = "cpu" if card is None else "cuda"
        self._card = card
        self._wave = torch.from_numpy(_wave(_WIDEST))
        self.seconds = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) 0..1 -> the same."""
        start = time.thread_time()
        restored = x - self._wave[: x.shape[3]]
        self.seconds += time.thread_time() - start
        if self._card is not None:
            self._card.compute(x)
        return restored


class StandIns:
    """Both networks, and the card that they compute on, if they do on any."""

    def __init__(self, card: Card | None = None) -> None:
        self.detector = WaveDetector(card)
        self.restorer = WaveRestorer(card)

    @property
    def models(self) -> Models:
        """As a Cleaner takes them."""
        return Models(self.detector, self.restorer, _NO_DIGEST, _NO_DIGEST)

    @property
    def seconds(self) -> float:
        """Core time that both have taken."""
        return self.detector.seconds + self.restorer.seconds
