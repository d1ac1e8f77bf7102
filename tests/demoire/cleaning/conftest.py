"""A Cleaner of toy models, weights files, and files of all sorts."""

from collections.abc import Callable

import numpy as np
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.models.detector import Detector
from demoire.models.networks import save_detector, save_restorer
from demoire.models.restorer import Restorer, build_restorer
from demoire.models.unet import FAST
from tests.demoire.cleaning.pictures import drawn_restorer, jpeg, png


@pytest.fixture(scope="module")
def cleaner(make_cleaner: Callable[..., Cleaner]) -> Cleaner:
    return make_cleaner()


@pytest.fixture(scope="module")
def random_restorer() -> Restorer:
    return drawn_restorer(FAST)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, random_restorer: Restorer) -> dict[str, str]:
    """Paths of weights files: a detector and two restorers."""
    folder = tmp_path_factory.mktemp("weights")
    saved = {
        "detector": save_detector(Detector(), folder / "d.safetensors", {}),
        "restorer": save_restorer(random_restorer, folder / "r.safetensors", {}),
        "another restorer": save_restorer(build_restorer(FAST), folder / "other.safetensors", {}),
    }
    return {name: str(file.path) for name, file in saved.items()}


@pytest.fixture(scope="module")
def mixed(scene: Callable) -> dict[str, bytes]:
    """Twenty images of all sorts: red ones, clean ones, and some that are none."""
    files: dict[str, bytes] = {}
    for i in range(8):
        shape = (100 + 60 * i, 440 - 40 * i)
        files[f"clean {i}.jpg"] = jpeg(scene(*shape, seed=i))
        files[f"red {i}.png"] = png(scene(*shape, red=np.ones(shape, bool), seed=i))
    cut = jpeg(scene(400, 400))
    files["cut.jpg"] = cut[: len(cut) // 2]
    files["text.jpg"] = b"no image at all"
    files["empty.png"] = b""
    files["animated.gif"] = b"GIF89a" + bytes(20)
    return files
