"""Tiny weights that are drawn by a seed, for tests of whole jobs.

What they do to a picture is worthless, but always the same, and that is all that these tests are
about. The detector takes a striped picture for moiré and a plain one for none, so that about half
of each archive is cleaned.
"""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.models.detector import Detector, DetectorConfig
from demoire.models.networks import save_detector, save_restorer
from demoire.models.unet import UNet, UNetConfig
from tests.one_thread import one_thread
from tests.pipelines.conftest import draw

# As drawn, the scores differ in the second digit, and where a score is doubtful the second gate
# asks for more than these weights can do. With the last layer times this they are above 0.98 for
# striped pictures, and below 0.02 for plain ones. One kind of moiré is enough.
_SPREAD = 50.0


def make_tiny_config(folder: Path) -> CleanerConfig:
    """Draw the weights into a folder."""
    torch.manual_seed(2)
    with one_thread():
        return _drawn_and_taught(folder)


def _drawn_and_taught(folder: Path) -> CleanerConfig:
    detector = Detector(
        DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8, spectrum=())
    )
    restorer = UNet(UNetConfig((8, 8, 8, 8), (0, 0, 0), 1, (0, 0, 0)))
    _teach(restorer)
    restorer_path = str(save_restorer(restorer, folder / "restorer.safetensors", {}).path)
    last = detector.classify[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight[1:3] = 0
        last.bias[1:3] = -10
    detector_path = str(save_detector(detector, folder / "detector.safetensors", {}).path)
    config = CleanerConfig(
        threshold=0.5, detector=detector_path, restorer=restorer_path, device="cpu", threads=1
    )
    middle = _middle_between_striped_and_plain(Cleaner(config))
    with torch.no_grad():
        last.bias[0] += middle
        last.weight *= _SPREAD
        last.bias *= _SPREAD
    save_detector(detector, folder / "detector.safetensors", {})
    return config


def _middle_between_striped_and_plain(cleaner: Cleaner) -> float:
    """In log odds of moiré."""
    striped = min(_log_odds(cleaner, draw(True, seed)) for seed in range(0, 40, 2))
    plain = max(_log_odds(cleaner, draw(False, seed)) for seed in range(1, 41, 2))
    distance = _SPREAD * (striped - plain)
    assert distance > 8, "other seeds are needed: these weights do not tell the two apart"
    return (striped + plain) / 2


def _log_odds(cleaner: Cleaner, data: bytes) -> float:
    score = cleaner.detect(data).moire
    return math.log(score / (1 - score))


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
