"""What holds for every architecture: an untrained one changes nothing, and a tile with its halo
equals the whole.
"""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from demoire.models.cost import network_cost
from demoire.models.dmcnn import DMCNNConfig
from demoire.models.esdnet import ESDNetConfig
from demoire.models.restorer import (
    ARCHITECTURES,
    Restorer,
    RestorerConfig,
    build_restorer,
    restorer_config,
    structure,
)
from demoire.models.transformer import TransformerConfig
from demoire.models.unet import FAST, UNet, UNetConfig
from demoire.moire import CELL

TINY = {
    "unet": UNetConfig(
        widths=(8, 8, 8, 8), encoder_depths=(0, 0, 0), middle_depth=1, decoder_depths=(1, 0, 0)
    ),
    "dmcnn": DMCNNConfig(widths=(8, 8, 8, 8, 8), depth=2, outer_width=8),
    "transformer": TransformerConfig(
        widths=(8, 8, 8, 8),
        encoder_depths=(1, 0),
        middle_depth=1,
        decoder_depths=(0, 1),
        head_width=8,
    ),
    "esdnet": ESDNetConfig(encoder_width=8, encoder_growth=8, decoder_width=8, decoder_growth=8),
}
# as deep as the default, and so as far-sighted
SLIM_DMCNN = DMCNNConfig(widths=(16, 16, 16, 16, 16), outer_width=16)


def speaking(config: RestorerConfig) -> Restorer:
    """A restorer that adds something visible to its input, as a trained one does: up to a few tens
    in 255.
    """
    torch.manual_seed(0)
    restorer = build_restorer(config).eval()
    for layer in restorer.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.any():
            nn.init.normal_(layer.weight, std=0.02)
    return restorer


def test_there_is_a_tiny_one_of_each_here() -> None:
    assert TINY.keys() == ARCHITECTURES.keys()


# as deep as `restorer-large`
DEEP = UNetConfig(widths=(32, 32, 32, 32), encoder_depths=(2, 2, 1), decoder_depths=(4, 2, 1))


@pytest.mark.parametrize(
    "config", [TINY["dmcnn"], TINY["transformer"], TINY["unet"], FAST, UNetConfig()]
)
def test_untrained_restorer_gives_its_input_back(config: RestorerConfig) -> None:
    picture = torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        assert torch.equal(build_restorer(config)(picture), picture)


@pytest.mark.parametrize(
    "config", [FAST, UNetConfig(), DEEP, SLIM_DMCNN, TransformerConfig(), TINY["esdnet"]]
)
def test_tile_with_halo_equals_the_same_place_in_the_whole_picture(config: RestorerConfig) -> None:
    restorer = speaking(config)
    assert CELL % restorer.multiple == restorer.halo % restorer.multiple == 0
    step, halo = max(64, restorer.multiple), restorer.halo
    core = slice(halo + step, halo + 2 * step)
    # so that the tile reaches to the right and bottom edges, and not to the others
    side = core.stop + halo
    whole = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    window = slice(core.start - halo, core.stop + halo)
    with torch.inference_mode():
        expected = restorer(whole)[..., core, core]
        inside = restorer(whole[..., window, window])[..., halo:-halo, halo:-halo]
    changed = (expected - whole[..., core, core]).abs().max()
    assert changed > 5 / 255
    assert (inside - expected).abs().max() < 1 / 255


def test_a_deeper_network_sees_more_of_its_surroundings() -> None:
    assert UNet(FAST).halo == UNet().halo < UNet(DEEP).halo


def test_a_wider_network_gets_smaller_windows_for_the_memory_that_it_takes() -> None:
    wide = UNetConfig(widths=(128, 144, 144, 144))
    assert UNet(wide).most < 5_000_000 < UNet().most == UNet(FAST).most


@pytest.mark.parametrize("architecture", ["unet", "dmcnn", "transformer"])
def test_one_pixel_is_not_seen_across_the_whole_picture(architecture: str) -> None:
    """Nothing global: a change in one corner leaves a far place bit for bit alone."""
    restorer = speaking(TINY[architecture])
    picture = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(2))
    changed = picture.clone()
    changed[..., :8, :8] = 1 - changed[..., :8, :8]
    with torch.inference_mode():
        before, after = restorer(picture), restorer(changed)
    assert not torch.equal(before[..., :64, :64], after[..., :64, :64])
    assert torch.equal(before[..., 448:, 448:], after[..., 448:, 448:])


@pytest.mark.parametrize(
    ("config", "kmacs", "millions"),
    [
        (DMCNNConfig(), 286, 1.2),
        (TransformerConfig(), 19, 2.5),
        (ESDNetConfig(), 267, 5.9),
        (ESDNetConfig(modules=2), 439, 10.6),
    ],
    ids=["dmcnn", "transformer", "esdnet", "esdnet-l"],
)
def test_cost_is_what_the_modules_say(config: RestorerConfig, kmacs: int, millions: float) -> None:
    cost = network_cost(build_restorer(config))
    assert (round(cost.macs_per_pixel / 1000), round(cost.parameters / 1e6, 1)) == (kmacs, millions)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_structure_comes_back_from_its_fields(architecture: str) -> None:
    config = TINY[architecture]
    assert "architecture" not in structure(config)
    assert (
        restorer_config(architecture, structure(config)) == config == build_restorer(config).config
    )


@pytest.mark.parametrize(
    ("architecture", "wrong"),
    [
        ("perceptron", {}),
        ("dmcnn", {"depth": 0}),
        ("dmcnn", {"widths": (8, 8, 0, 8, 8)}),
        ("transformer", {"head_width": 20}),
        ("transformer", {"decoder_depths": (1, -1)}),
        ("esdnet", {"modules": 0}),
        ("esdnet", {"widths": (8, 8, 8, 8)}),
    ],
)
def test_impossible_structure_is_refused(architecture: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        restorer_config(architecture, wrong)
