"""A small folder of clean scenes to train on."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty soft colourful scenes of 160 x 200 px, in two subfolders, beside a text file."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(3)
    for number in range(30):
        coarse = rng.uniform(20, 235, (5, 6, 3)).astype(np.float32)
        scene = np.clip(cv2.resize(coarse, (200, 160), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
        path = folder / ("even" if number % 2 == 0 else "odd") / f"scene-{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), scene)
    (folder / "notes.txt").write_text("no image")
    return folder
