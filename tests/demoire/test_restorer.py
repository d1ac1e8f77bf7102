"""The restorer: an untrained one changes nothing, a tile with its halo equals the whole, the cost is as stated."""

import pytest
import torch
from pydantic import ValidationError

from demoire.layers import Activation, network_cost
from demoire.restorer import FAST, Restorer, RestorerConfig

TINY = RestorerConfig(widths=(8, 8, 8, 8), encoder_depths=(0, 0, 0), middle_depth=1, decoder_depths=(1, 0, 0))


def _speaking(config: RestorerConfig) -> Restorer:
    """A restorer that adds something visible to its input, as a trained one does: up to a few tens in 255."""
    torch.manual_seed(0)
    restorer = Restorer(config).eval()
    torch.nn.init.normal_(restorer.head[0].weight, std=0.02)
    return restorer


@pytest.mark.parametrize("config", [TINY, FAST, RestorerConfig()])
def test_untrained_restorer_gives_its_input_back(config: RestorerConfig) -> None:
    picture = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(Restorer(config)(picture), picture)


@pytest.mark.parametrize("config", [FAST, RestorerConfig()])
def test_tile_with_halo_equals_the_same_place_in_the_whole_picture(config: RestorerConfig) -> None:
    restorer = _speaking(config)
    whole = torch.rand(1, 3, 448, 448, generator=torch.Generator().manual_seed(1))
    core, halo = slice(192, 256), restorer.halo
    tile = whole[..., core.start - halo : core.stop + halo, core.start - halo : core.stop + halo]
    with torch.inference_mode():
        expected = restorer(whole)
        inside = restorer(tile)[..., halo:-halo, halo:-halo]
    changed = (expected - whole).abs()[..., core, core].max()
    assert changed > 5 / 255
    assert (inside - expected[..., core, core]).abs().max() < 1 / 255


def test_one_pixel_is_not_seen_across_the_whole_picture() -> None:
    """Nothing global: a change in one corner leaves a far place bit for bit alone."""
    restorer = _speaking(TINY)
    picture = torch.rand(1, 3, 512, 512)
    changed = picture.clone()
    changed[..., :8, :8] = 1 - changed[..., :8, :8]
    with torch.inference_mode():
        before, after = restorer(picture), restorer(changed)
    assert not torch.equal(before[..., :64, :64], after[..., :64, :64])
    assert torch.equal(before[..., 448:, 448:], after[..., 448:, 448:])


def test_cost_is_what_the_module_says() -> None:
    default, fast = network_cost(Restorer()), network_cost(Restorer(FAST))
    assert (round(default.macs_per_pixel, -2), round(default.parameters, -5)) == (14_100, 1_400_000)
    assert (round(fast.macs_per_pixel, -2), round(fast.parameters, -5)) == (4_600, 700_000)


def test_cost_of_one_convolution_by_hand() -> None:
    layer = torch.nn.Conv2d(3, 10, 3, stride=2, padding=1)
    assert network_cost(layer).macs_per_pixel == 3 * 10 * 9 / 4
    assert network_cost(layer).parameters == 3 * 10 * 9 + 10


@pytest.mark.parametrize("activation", ["relu", "gelu", "sigmoid", "tanh", "simple_gate"])
def test_every_activation_learns(activation: Activation) -> None:
    restorer = Restorer(RestorerConfig((8, 8, 8, 8), (0, 0, 0), 1, (1, 0, 0), 3, activation))
    loss = (restorer(torch.rand(1, 3, 64, 64)) - 0.5).square().mean()
    loss.backward()
    assert restorer.head[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("wrong", [{"kernel_size": 4}, {"widths": (8, 8, 0, 8)}, {"wdiths": (8, 8, 8, 8)}])
def test_impossible_structure_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RestorerConfig(**wrong)  # type: ignore[arg-type]
