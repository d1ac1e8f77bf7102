"""Weights files: what is saved comes back, and what is not sound is refused with one sentence."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from demoire.errors import UsageError, WeightsError
from demoire.models import weights as weights_module
from demoire.models.detector import Calibration, Detector, DetectorConfig
from demoire.models.dmcnn import DMCNNConfig
from demoire.models.esdnet import ESDNet, ESDNetConfig
from demoire.models.networks import (
    load_detector,
    load_restorer,
    save_detector,
    save_restorer,
    save_weights,
)
from demoire.models.restorer import RestorerConfig, build_restorer
from demoire.models.shipping import ship_weights
from demoire.models.transformer import TransformerConfig
from demoire.models.unet import UNet, UNetConfig
from demoire.models.weights import find_weights, shipped_weights

RESTORER = UNetConfig(
    widths=(8, 8, 8, 8), encoder_depths=(0, 0, 0), middle_depth=1, decoder_depths=(1, 0, 0)
)
DETECTOR = DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8)


@pytest.fixture
def restorer_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return save_restorer(UNet(RESTORER), tmp_path / "mine.safetensors", {"gain": 3.5}).path


def test_a_restorer_comes_back_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(1)
    restorer = UNet(RESTORER)
    torch.nn.init.normal_(restorer.head[0].weight, std=0.1)
    saved = save_restorer(restorer, tmp_path / "mine.safetensors", {"gain": 3.5})
    again = load_restorer(str(saved.path))
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(again(picture), restorer.half().float().eval()(picture), atol=1e-5)
    assert again.config == RESTORER
    assert not again.training
    assert (saved.name, saved.metadata) == ("mine", {"gain": 3.5})
    assert again.stem.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("config", "architecture"),
    [
        (DMCNNConfig((8, 8, 8, 8, 8), 1, 8), "restorer-dmcnn"),
        (
            TransformerConfig((8, 8, 8, 8), (0, 0), (1, 0), 0, (0, 0), head_width=8),
            "restorer-transformer",
        ),
        (ESDNetConfig(4, 4, 4, 4), "restorer-esdnet"),
    ],
    ids=["dmcnn", "transformer", "esdnet"],
)
def test_a_file_says_which_architecture_it_is_for(
    config: RestorerConfig, architecture: str, tmp_path: Path
) -> None:
    saved = save_restorer(build_restorer(config), tmp_path / "mine.safetensors", {})
    assert saved.architecture == architecture
    assert load_restorer(str(saved.path)).config == config


def test_a_detector_comes_back_with_its_calibration(tmp_path: Path) -> None:
    calibration = Calibration(
        temperature=1.7, threshold=0.9, cell_threshold=0.4, sure=0.99, free_of_doubt=0.2
    )
    detector = Detector(DETECTOR, calibration)
    path = save_detector(detector, tmp_path / "d.safetensors", {"auc": 0.99}).path
    assert load_detector(str(path)).calibration == calibration


def test_equal_weights_have_equal_digests_and_others_do_not(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = UNet(RESTORER)
    first = save_restorer(network, tmp_path / "a.safetensors", {})
    second = save_restorer(network, tmp_path / "b.safetensors", {})
    network.stem.weight.data[0, 0, 0, 0] += 1e-3
    third = save_restorer(network, tmp_path / "c.safetensors", {})
    assert first.digest == second.digest != third.digest


def test_weights_are_found_without_torch(restorer_file: Path) -> None:
    """Every plan asks for digests, and torch takes seconds to import."""
    program = f"""
import sys
from demoire.models.weights import find_weights
print(find_weights("detector").architecture, find_weights({str(restorer_file)!r}).architecture)
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["detector-cnn", "restorer-unet"]


def test_missing_weights_name_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights nosuch"):
        find_weights("nosuch")
    with pytest.raises(WeightsError):
        find_weights(str(tmp_path))


def test_cut_file_is_refused(restorer_file: Path) -> None:
    restorer_file.write_bytes(restorer_file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="no whole safetensors file"):
        load_restorer(str(restorer_file))


def test_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "future.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"format": "demoire-weights/2"})
    with pytest.raises(WeightsError, match="demoire-weights/2"):
        find_weights(str(path))
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="no format"):
        find_weights(str(path))


def test_weights_of_one_model_are_not_taken_for_the_other(restorer_file: Path) -> None:
    with pytest.raises(WeightsError, match="not a detector"):
        load_detector(str(restorer_file))
    with pytest.raises(WeightsError, match="not a restorer"):
        load_restorer("detector")


def test_structure_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    network = UNet(RESTORER)
    path = tmp_path / "wrong.safetensors"
    other = {
        "widths": [8, 8, 8, 16],
        "encoder_depths": [0, 0, 0],
        "middle_depth": 1,
        "decoder_depths": [1, 0, 0],
    }
    save_weights(network, path, architecture="restorer-unet", config=other, metadata={})
    with pytest.raises(WeightsError, match="do not fit"):
        load_restorer(str(path))
    save_weights(network, path, architecture="restorer-unet", config={"layers": 9}, metadata={})
    with pytest.raises(WeightsError, match="does not know"):
        load_restorer(str(path))


@pytest.fixture
def published_esdnet(tmp_path: Path) -> Path:
    """A checkpoint as the authors' training saves it on several GPUs, of a narrow ESDNet with
    random weights.
    """
    torch.manual_seed(3)
    tensors = ESDNet(ESDNetConfig(6, 4, 8, 4)).state_dict()
    state = {f"module.{name}": value for name, value in tensors.items()}
    torch.save({"iters": 1, "state_dict": state}, tmp_path / "e.pth")
    return tmp_path / "e.pth"


def test_a_published_esdnet_restores(published_esdnet: Path) -> None:
    torch.manual_seed(3)
    original = ESDNet(ESDNetConfig(6, 4, 8, 4)).eval()
    weights, restorer = find_weights(str(published_esdnet)), load_restorer(str(published_esdnet))
    assert (weights.name, weights.architecture, weights.metadata) == ("e", "restorer-esdnet", {})
    assert weights.digest == hashlib.sha256(published_esdnet.read_bytes()).hexdigest()
    picture = torch.rand(1, 3, 32, 64)
    with torch.inference_mode():
        restored = restorer(picture)
        assert torch.allclose(restored, original(picture), atol=1e-5)
    assert restored.shape == picture.shape


def test_a_published_esdnet_that_lacks_or_has_more_is_refused(published_esdnet: Path) -> None:
    whole = torch.load(published_esdnet, weights_only=True)["state_dict"]
    last = "module.decoder.decoder_1.conv.conv.bias"
    cases = {
        "conv.conv.bias is missing": {name: value for name, value in whole.items() if name != last},
        "tail.bias has no place": {**whole, "module.decoder.tail.bias": torch.zeros(3)},
        r"conv.conv.bias is \(9,\), not \(12,\)": {**whole, last: torch.zeros(9)},
    }
    for says, tensors in cases.items():
        torch.save(tensors, published_esdnet)
        with pytest.raises(WeightsError, match=says) as caught:
            load_restorer(str(published_esdnet))
        assert "\n" not in str(caught.value)


def test_checkpoints_are_no_detector(published_esdnet: Path) -> None:
    with pytest.raises(WeightsError, match="not a detector"):
        load_detector(str(published_esdnet))


def test_a_checkpoint_can_be_shipped(published_esdnet: Path, tmp_path: Path) -> None:
    shipped = ship_weights(published_esdnet, "esdnet", tmp_path / "shipped")
    assert shipped.path == tmp_path / "shipped" / "esdnet.pth"
    assert shipped.digest == find_weights(str(published_esdnet)).digest


def test_absent_device_is_bad_usage(restorer_file: Path) -> None:
    with pytest.raises(UsageError, match="quantum:3"):
        load_restorer(str(restorer_file), device="quantum:3")


def test_failed_save_leaves_the_old_file(restorer_file: Path) -> None:
    before = restorer_file.read_bytes()
    with pytest.raises(TypeError):
        save_restorer(UNet(RESTORER), restorer_file, {"not json": {1, 2}})
    assert restorer_file.read_bytes() == before


def test_the_index_keeps_several_weights_and_replaces_by_name(
    tmp_path: Path, restorer_file: Path
) -> None:
    first = ship_weights(restorer_file, "one", tmp_path / "shipped")
    ship_weights(restorer_file, "two", tmp_path / "shipped")
    newer = save_restorer(UNet(RESTORER), tmp_path / "newer.safetensors", {"gain": 4.0})
    ship_weights(newer.path, "one", tmp_path / "shipped")
    index = json.loads((tmp_path / "shipped" / "index.json").read_text())
    assert {name: entry["sha256"] for name, entry in index.items()} == {
        "one": newer.digest,
        "two": first.digest,
    }


@pytest.mark.parametrize("name", shipped_weights())
def test_shipped_weights_load(name: str) -> None:
    weights = find_weights(name)
    network = load_detector(name) if weights.architecture == "detector-cnn" else load_restorer(name)
    assert len(weights.digest) == 64
    assert not network.training


def test_altered_shipped_weights_are_refused(
    tmp_path: Path, restorer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index and the file differ by one flipped byte."""
    ship_weights(restorer_file, "restorer", tmp_path)
    monkeypatch.setattr(weights_module, "SHIPPED_FOLDER", tmp_path)
    assert load_restorer().config == RESTORER
    data = bytearray((tmp_path / "restorer.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "restorer.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="not the ones that were shipped"):
        load_restorer()
