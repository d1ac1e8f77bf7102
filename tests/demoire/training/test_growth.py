"""A U-Net that begins as a copy of a smaller one gives what that gives, and then learns with all
that it has.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.models.layers import ResidualBlock
from demoire.models.networks import load_restorer
from demoire.models.unet import UNet, UNetConfig
from demoire.training.config_files import load_config
from demoire.training.growth import can_grow, grow
from tests.demoire.training.random_unet import random_unet

SMALL = UNetConfig((8, 8, 12, 8), (0, 1, 0), 1, (1, 0, 1), bands=2)


more = st.integers(0, 2)


@given(
    wider=st.tuples(*[st.integers(0, 5)] * 4),
    encoders=st.tuples(more, more, more),
    middle=more,
    decoders=st.tuples(more, more, more),
    bands=more,
)
@settings(max_examples=20)
def test_the_larger_network_gives_what_the_smaller_gives(
    wider: tuple[int, ...],
    encoders: tuple[int, ...],
    middle: int,
    decoders: tuple[int, ...],
    bands: int,
) -> None:
    def added(few: tuple[int, ...], extra: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(a + b for a, b in zip(few, extra, strict=True))

    config = UNetConfig(
        added(SMALL.widths, wider),  # type: ignore[arg-type]
        added(SMALL.encoder_depths, encoders),  # type: ignore[arg-type]
        SMALL.middle_depth + middle,
        added(SMALL.decoder_depths, decoders),  # type: ignore[arg-type]
        bands=SMALL.bands + bands,
    )
    assert can_grow(SMALL, config)
    small, large = random_unet(SMALL), UNet(config).eval()
    grow(large, small)
    picture = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.allclose(large(picture), small(picture), atol=1e-4)


def test_what_is_new_learns() -> None:
    large = UNet(replace(SMALL, widths=(10, 10, 14, 10), middle_depth=2))
    grow(large, random_unet(SMALL))
    optimizer = torch.optim.SGD(large.parameters(), 0.01)
    for _ in range(3):  # what nobody listens to learns from the second step on
        large.zero_grad()
        (large(torch.rand(2, 3, 64, 64)) - 0.5).square().mean().backward()
        optimizer.step()
    middle, stem = large.middle[1], large.stem
    assert isinstance(middle, ResidualBlock)
    gradients = [weight.grad for weight in (middle.first.weight, middle.second.weight, stem.weight)]
    for gradient, first in zip(gradients, (0, 0, 8), strict=True):
        assert gradient is not None and gradient[first:].abs().sum() > 0


@pytest.mark.parametrize(
    "other",
    [
        replace(SMALL, widths=(8, 8, 8, 8)),
        replace(SMALL, encoder_depths=(0, 0, 0)),
        replace(SMALL, bands=1),
        replace(SMALL, kernel_size=5),
        replace(SMALL, activation="gelu"),
    ],
    ids=["narrower", "shallower", "fewer bands", "other kernels", "other activation"],
)
def test_what_does_not_hold_the_smaller_one_cannot_begin_as_it(other: UNetConfig) -> None:
    assert not can_grow(SMALL, other)


def test_gates_cannot_grow() -> None:
    gated = replace(SMALL, activation="simple_gate")
    assert not can_grow(gated, replace(gated, widths=(16, 16, 16, 16)))


def test_the_large_one_can_begin_as_what_its_configuration_says() -> None:
    config = load_config("restorer-large")
    start, large = load_restorer(str(config.start_from)), config.restorer
    assert isinstance(start, UNet) and isinstance(large, UNetConfig)
    assert can_grow(start.config, large)
