"""A box of pictures to clean, and a configuration file that names tiny weights: what the commands
are tried on.
"""

from pathlib import Path

import pytest

from demoire.cleaning.config import CleanerConfig
from tests.pipelines.conftest import draw, half_moire, write_tar


@pytest.fixture(scope="session")
def tiny_toml(tiny_config: CleanerConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for --config by which striped pictures are cleaned, and only those."""
    file = tmp_path_factory.mktemp("config") / "tiny.toml"
    file.write_text(
        f'detector = "{tiny_config.detector}"\nrestorer = "{tiny_config.restorer}"\n'
        f'threshold = {tiny_config.threshold}\ndevice = "cpu"\nthreads = 1\n'
    )
    return file


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tar: six pictures, three of them striped, a text, and a JPEG that was cut
    short.
    """
    folder = tmp_path_factory.mktemp("box")
    torn = draw(True, 99)
    members = {
        "catalogue.txt": b"six pictures\n",
        **half_moire(6),
        "torn.jpg": torn[: len(torn) // 2],
    }
    write_tar(folder / "box.tar", members)
    return folder
