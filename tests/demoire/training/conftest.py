"""A small folder of field pictures, and one thread for what the tests train."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from demoire.training.field import FieldFolder
from tests.one_thread import one_thread

_SPLIT = """
[train]
one = ["clean/one_*", "screens/*", "halftone/*", "texture/*", "real_pairs/*"]
[validation]
two = ["clean/two_*"]
"""


def soft_scene(seed: int) -> np.ndarray:
    """Soft coloured shapes, (160, 200, 3) uint8."""
    noise = np.random.default_rng(seed).random((160, 200, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 10)
    return np.clip(127 + 1600 * (soft - 0.5), 40, 215).astype(np.uint8)


@pytest.fixture
def field(tmp_path: Path) -> FieldFolder:
    """Two sources of clean pictures, and a striped screen, print, texture and pair of the first."""
    folder = tmp_path / "field"
    stripes = 12 * np.sin(np.arange(200) * 2 * np.pi / 8)[None, :, None]
    striped = (soft_scene(1) + stripes).astype(np.uint8)
    pictures = {
        "clean/one_a.png": soft_scene(2),
        "clean/two_a.png": soft_scene(3),
        "screens/a.png": striped,
        "halftone/a.png": striped,
        "texture/a.png": striped,
        "real_pairs/a_moire.png": striped,
        "real_pairs/a_clean.png": soft_scene(1),
    }
    for name, picture in pictures.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        assert cv2.imwrite(str(path), picture)
    (folder / "split.toml").write_text(_SPLIT)
    return FieldFolder(folder)


@pytest.fixture(autouse=True, scope="module")
def small_networks_on_one_thread() -> Iterator[None]:
    """See `tests.one_thread`."""
    with one_thread():
        yield
