"""The examples run as they are written, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipelines.conftest import draw, write_tar
from tests.s3_server import s3_variables, serve_s3

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(example: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / example), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A picture of 300 x 280 px with bold stripes on its left."""
    rows = np.arange(280)[:, None]
    columns = np.arange(300)[None, :]
    stripes = 60 * np.sign(np.sin(0.9 * columns)) * (columns < 150)
    grey = np.clip(120 + stripes + 0.1 * rows, 0, 255).astype(np.uint8)
    path = tmp_path / "scan.jpg"
    Image.fromarray(np.dstack([grey] * 3)).save(path, quality=92)
    return path


def test_no_example_is_forgotten() -> None:
    tested = {"one_image.py", "a_folder.py", "own_weights.py", "an_archive_on_s3.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_one_image(scan: Path, tmp_path: Path) -> None:
    done = run("one_image.py", scan, tmp_path / "clean.jpg")
    assert done.returncode == 0, done.stderr
    assert done.stdout
    with Image.open(tmp_path / "clean.jpg") as clean:
        assert (clean.format, clean.size) == ("JPEG", (300, 280))


def test_a_folder(scan: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    scan.rename(photos / "scan.jpg")
    (photos / "torn.jpg").write_bytes((photos / "scan.jpg").read_bytes()[:600])
    done = run("a_folder.py", photos, tmp_path / "clean")
    assert done.returncode == 0, done.stderr
    assert "torn.jpg: truncated" in done.stdout
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["scan.jpg", "torn.jpg"]


def test_own_weights(scan: Path, tmp_path: Path) -> None:
    import torch

    from demoire.models.networks import save_restorer
    from demoire.models.unet import UNet

    torch.manual_seed(0)
    weights = save_restorer(UNet(), tmp_path / "mine.safetensors", {})
    done = run("own_weights.py", weights.path, scan, tmp_path / "clean.jpg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"restored with {weights.digest}"


def test_own_weights_that_are_none_end_in_one_sentence(scan: Path, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"no weights")
    done = run("own_weights.py", weights, scan, tmp_path / "clean.jpg")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "mine.safetensors" in done.stderr


@pytest.mark.slow
def test_an_archive_on_s3(tmp_path: Path) -> None:
    bucket = tmp_path / "served" / "scans"
    (bucket / "incoming").mkdir(parents=True)
    write_tar(bucket / "incoming" / "box.tar", {"a.jpg": draw(True, 1), "b.jpg": draw(False, 2)})
    with serve_s3(tmp_path / "served", "a-key", "a-secret") as endpoint:
        done = run(
            "an_archive_on_s3.py",
            "s3://scans/incoming",
            "s3://scans/clean",
            **s3_variables(endpoint, "a-key", "a-secret"),
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 images: ")
    assert (bucket / "clean" / "box.tar").is_file()
