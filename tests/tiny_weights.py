"""Tiny weights that are drawn by a seed, for tests of whole jobs.

What they do to a picture is worthless, but always the same, and that is all that these tests are
about. The threshold is set between a striped picture and a plain one, so that about half of each
archive is cleaned.
"""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.models.detector import Detector, DetectorConfig
from demoire.models.networks import save_detector, save_restorer
from demoire.models.unet import UNet, UNetConfig
from tests.pipelines.conftest import draw


def make_tiny_config(folder: Path) -> CleanerConfig:
    """Draw the weights into a folder, and find the threshold that goes with them."""
    torch.manual_seed(2)
    detector = Detector(
        DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8, spectrum=())
    )
    restorer = UNet(UNetConfig((8, 8, 8, 8), (0, 0, 0), 1, (0, 0, 0)))
    _teach(restorer)
    detector_path = str(save_detector(detector, folder / "detector.safetensors", {}).path)
    restorer_path = str(save_restorer(restorer, folder / "restorer.safetensors", {}).path)
    config = CleanerConfig(detector=detector_path, restorer=restorer_path, device="cpu", threads=1)
    cleaner = Cleaner(config)
    striped = [cleaner.detect(draw(True, seed)).moire for seed in range(0, 40, 2)]
    plain = [cleaner.detect(draw(False, seed)).moire for seed in range(1, 41, 2)]
    assert min(striped) > max(plain), (
        "other seeds are needed: these weights do not tell the two apart"
    )
    threshold = (min(striped) + max(plain)) / 2
    return CleanerConfig(
        threshold=threshold, detector=detector_path, restorer=restorer_path, device="cpu", threads=1
    )


def _teach(restorer: UNet) -> None:
    """A few steps from striped pictures to the same without stripes.

    Enough for the score to fall; else the second gate would leave every picture alone.
    """
    torch.nn.init.normal_(restorer.head[0].weight, std=0.02)
    optimizer = torch.optim.Adam(restorer.parameters(), lr=0.01)
    for step in range(60):
        seeds = range(1000 + 4 * step, 1004 + 4 * step)
        striped = _batch([draw(True, seed) for seed in seeds])
        plain = _batch([draw(False, seed) for seed in seeds])
        loss = (restorer(striped) - plain).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _batch(files: list[bytes]) -> torch.Tensor:
    """(N, 3, SIDE, SIDE), 0..1."""
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in files])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
