"""Drawn scenes, and toy models whose behaviour a test can foretell: one takes red for moiré, one
takes away red.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demoire.cleaning.cleaner import Cleaner, Models
from demoire.cleaning.config import CleanerConfig
from demoire.models.detector import Calibration

LESS_RED = 0.2  # of full scale, what the toy restorer takes away

Scene = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Draws (height, width, 3) uint8: a blue-green ground with slopes, bars and grain, red where
    `red` says (H, W).
    """

    def draw(
        height: int, width: int, *, red: NDArray[np.bool_] | None = None, seed: int = 0
    ) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        picture = np.stack(
            [30 + 20 * np.sin(x / 9), 60 + 120 * y / height, 80 + 100 * x / width], axis=2
        )
        picture[(x // 24 + y // 40) % 5 == 0] += (0, 40, 30)
        picture += rng.normal(0, 2, picture.shape)
        if red is not None:
            picture[red, 0] = 235
        return np.clip(picture, 0, 255).astype(np.uint8)

    return draw


class RedDetector(nn.Module):
    """P(moiré, of the kind screen) of a cell rises with its mean red, and is one half at 0.6 of
    full red.
    """

    def __init__(self, **bounds: float) -> None:
        """`bounds` are those of a `Calibration` that are to be others."""
        super().__init__()
        self.calibration = Calibration(**{"threshold": 0.5, "cell_threshold": 0.3, **bounds})

    def probabilities(self, x: Tensor) -> Tensor:
        moire = torch.sigmoid(40 * (x[:, 0].mean(dim=(1, 2)) - 0.6))
        nothing = torch.zeros_like(moire)
        return torch.stack([1 - moire, moire, nothing, nothing], dim=1)


class RedRemover(nn.Module):
    """Takes LESS_RED away everywhere."""

    multiple, halo = 32, 64

    def forward(self, x: Tensor) -> Tensor:
        return x - torch.tensor([LESS_RED, 0, 0]).view(3, 1, 1)


@pytest.fixture(scope="session")
def make_cleaner() -> Callable[..., Cleaner]:
    """Cleaners on the CPU with the toy models, or with others in their place."""

    def make(
        restorer: nn.Module | None = None, detector: nn.Module | None = None, **settings: object
    ) -> Cleaner:
        config = CleanerConfig(**{"device": "cpu", "threads": 2, **settings})  # type: ignore[arg-type]
        networks = (detector or RedDetector(), restorer or RedRemover())
        return Cleaner(config, Models(*networks, "d" * 64, "e" * 64))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty soft colourful scenes of 160 x 200 px, in two subfolders, beside a text file."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(3)
    for number in range(30):
        coarse = rng.uniform(20, 235, (5, 6, 3)).astype(np.float32)
        scene = np.clip(
            cv2.resize(coarse, (200, 160), interpolation=cv2.INTER_CUBIC), 0, 255
        ).astype(np.uint8)
        path = folder / ("even" if number % 2 == 0 else "odd") / f"scene-{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), scene)
    (folder / "notes.txt").write_text("no image")
    return folder
