"""Checkpoints of other programs: what spandrel knows restores, and all else is refused."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from demoire.errors import WeightsError
from demoire.models.external import import_spandrel
from demoire.models.networks import load_restorer
from demoire.models.weights import find_weights


def test_without_spandrel_one_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save({"intro.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"pip install 'demoire\[models\]'") as caught:
        load_restorer(str(tmp_path / "other.pth"))
    assert "\n" not in str(caught.value)


def test_a_torchvision_that_does_not_fit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spandrel that cannot be imported, whatever operators are declared."""
    (tmp_path / "spandrel.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({"intro.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="built for another torch"):
        load_restorer(str(tmp_path / "other.pth"))


@pytest.fixture
def nafnet_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint of a small NAFNet, as its authors publish theirs."""
    import_spandrel()
    from spandrel.architectures.NAFNet import NAFNet

    def write(channels: int = 3) -> Path:
        torch.manual_seed(0)
        network = NAFNet(
            img_channel=channels,
            width=8,
            middle_blk_num=1,
            enc_blk_nums=[1, 1],
            dec_blk_nums=[1, 1],
        )
        for name, value in network.named_parameters():
            if name.endswith(("beta", "gamma")):
                # zero at first: the network would be two convolutions
                torch.nn.init.normal_(value, std=0.5)
        torch.save({"params": network.state_dict()}, tmp_path / "nafnet.pth")
        return tmp_path / "nafnet.pth"

    return write


def test_a_checkpoint_that_spandrel_knows_restores(nafnet_file: Callable[..., Path]) -> None:
    path = nafnet_file()
    assert find_weights(str(path)).architecture == "restorer-external"
    restorer = load_restorer(str(path))
    picture = torch.rand(2, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        restored = restorer(picture)
        assert torch.equal(restored[1:], restorer(picture[1:]))
    assert restored.shape == picture.shape
    assert (restored - picture).abs().max() > 1 / 255
    assert (restorer.multiple, restorer.halo, restorer.training) == (32, 64, False)


def test_a_model_of_grey_pictures_is_refused(nafnet_file: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match="1 channels in and 1 out"):
        load_restorer(str(nafnet_file(channels=1)))


def test_a_model_that_enlarges_is_refused(tmp_path: Path) -> None:
    import_spandrel()
    from spandrel.architectures.Compact import Compact

    torch.save(Compact(num_feat=8, num_conv=2, upscale=2).state_dict(), tmp_path / "compact.pth")
    with pytest.raises(WeightsError, match="enlarges 2 times"):
        load_restorer(str(tmp_path / "compact.pth"))


def test_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="spandrel does not know"):
        load_restorer(str(tmp_path / "model.pth"))


def test_a_known_model_that_lacks_a_part_is_refused(nafnet_file: Callable[..., Path]) -> None:
    path = nafnet_file()
    tensors = torch.load(path, weights_only=True)["params"]
    del tensors["decoders.1.0.conv5.weight"]
    torch.save(tensors, path)
    with pytest.raises(WeightsError, match="not whole") as caught:
        load_restorer(str(path))
    assert "\n" not in str(caught.value)
