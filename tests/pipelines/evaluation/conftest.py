"""Weights whose answers are known, and folders of pairs: every figure is known, too."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.models.detector import Calibration, Detector
from demoire.models.networks import save_detector, save_restorer
from demoire.models.unet import UNet

LIFT = 10  # levels that the test's restorer adds everywhere

MakeCleaner = Callable[..., Cleaner]


def scene(seed: int, side: int = 300) -> np.ndarray:
    """(side, side, 3) uint8: soft shapes with some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((7, 7, 3)).astype(np.float32)
    shapes = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 6, shapes.shape)
    return (shapes * 150 + 50 + grain).clip(30, 225).astype(np.uint8)


def write(path: Path, picture: np.ndarray) -> None:
    assert cv2.imwrite(str(path), picture[..., ::-1])


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A restorer that makes everything LIFT levels lighter, and detectors: sure of moiré, sure of
    none, and seeded.
    """
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    restorer = UNet()
    torch.nn.init.constant_(restorer.head[0].bias, LIFT / 255)
    save_restorer(restorer, folder / "lift.safetensors", {})
    for name, logit in (("always", -8.0), ("never", 8.0)):
        detector = Detector(calibration=Calibration(threshold=0.5, cell_threshold=0.3))
        torch.nn.init.zeros_(detector.classify[-1].weight)
        detector.classify[-1].bias.data = torch.tensor([logit, 0.0, 0.0, 0.0])
        save_detector(detector, folder / f"{name}.safetensors", {})
    seeded = Detector(calibration=Calibration(threshold=0.5))
    save_detector(seeded, folder / "seeded.safetensors", {})
    return {path.stem: str(path) for path in folder.glob("*.safetensors")}


@pytest.fixture
def make_cleaner(weights: dict[str, str]) -> MakeCleaner:
    """Makes a cleaner that lifts, with the detector of this name."""

    def make(detector: str, **settings: object) -> Cleaner:
        facts = {
            "restorer": weights["lift"],
            "detector": weights[detector],
            "device": "cpu",
            "threads": 1,
            **settings,
        }
        return Cleaner(CleanerConfig(**facts))  # type: ignore[arg-type]

    return make


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pairs whose first picture is LIFT levels too dark."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for seed, name in enumerate(("b", "a", "a_2")):
        write(folder / f"{name}_clean.png", scene(seed))
        write(folder / f"{name}_moire.png", scene(seed) - np.uint8(LIFT))
    return folder


class Ranked:
    """Eight pictures in the order of the score that a seeded detector gives them."""

    def __init__(self, folder: Path, make_cleaner: MakeCleaner) -> None:
        self.folder = folder
        self.cleaner = make_cleaner("seeded")
        self._make_cleaner = make_cleaner
        self._pictures: list[tuple[float, bytes]] = []
        for seed in range(8):
            write(folder / "picture.png", scene(seed) // np.uint8(1 + seed % 4))
            data = (folder / "picture.png").read_bytes()
            self._pictures.append((self.cleaner.detect(data).moire, data))
        (folder / "picture.png").unlink()
        self._pictures.sort()

    def label_as_moire(self, *ranks: int) -> None:
        """Write them all, those of these ranks as moiré and the others as clean."""
        for rank, (_, data) in enumerate(self._pictures):
            role = "moire" if rank in ranks else "clean"
            (self.folder / f"n{rank}_only_{role}.png").write_bytes(data)

    def cleaner_at(self, rank: float) -> Cleaner:
        """A cleaner whose threshold is the score of a rank, or halfway to the next for N.5."""
        low = self._pictures[int(rank)][0]
        high = self._pictures[int(rank + 0.5)][0]
        return self._make_cleaner("seeded", threshold=(low + high) / 2)


@pytest.fixture
def ranked(tmp_path: Path, make_cleaner: MakeCleaner) -> Ranked:
    folder = tmp_path / "ranked"
    folder.mkdir()
    return Ranked(folder, make_cleaner)
