"""The optimizers: the course of the learning rate, and what Muon does to which weights."""

import pytest
import torch
from torch import nn

from demoire.models.layers import channels_last
from demoire.training.config import OptimizerConfig
from demoire.training.optimizers import build_optimizer, learning_rate


def test_learning_rate_warms_up_and_falls_as_half_a_cosine() -> None:
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=10, final_share=0.1)
    rates = [learning_rate(step, 110, config) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert (
        learning_rate(
            90, 110, OptimizerConfig(learning_rate=1.0, warmup_steps=10, schedule="constant")
        )
        == 1.0
    )


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 16, 3),
        nn.Conv2d(16, 16, 3),
        nn.BatchNorm2d(16),
        nn.Flatten(),
        nn.Linear(16, 4),
    )
    return channels_last(nn.Sequential(*layers))


def _one_step(network: nn.Module, config: OptimizerConfig) -> dict[str, torch.Tensor]:
    """By how much each of the weights moves on one batch."""
    optimizer = build_optimizer(network, config)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    network(torch.rand(8, 3, 5, 5)).square().mean().backward()
    optimizer.step()
    return {name: value.detach() - before[name] for name, value in network.named_parameters()}


def _spread(kernel: torch.Tensor) -> float:
    """How much stronger a kernel (out, in, h, w), taken as a matrix, is in one direction than in
    another.
    """
    strengths = torch.linalg.svdvals(kernel.flatten(1))
    return (strengths.max() / strengths.min()).item()


def test_muon_moves_a_kernel_in_all_directions_and_as_far_as_adamw(network: nn.Module) -> None:
    moved = _one_step(network, OptimizerConfig(kind="muon", learning_rate=1e-2, l2=0))["1.weight"]
    gradient = network.get_parameter("1.weight").grad
    assert gradient is not None
    assert _spread(moved) < 10 < 100 < _spread(gradient)
    assert moved.square().mean().sqrt() == pytest.approx(0.2 * 1e-2, rel=0.4)


def test_what_is_no_kernel_between_layers_moves_as_with_adamw(network: nn.Module) -> None:
    start = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(1)
    muon = _one_step(network, OptimizerConfig(kind="muon", learning_rate=1e-2))
    network.load_state_dict(start)
    network.zero_grad()
    torch.manual_seed(1)
    adamw = _one_step(network, OptimizerConfig(kind="adamw", learning_rate=1e-2))
    differing = {name for name in muon if not torch.equal(muon[name], adamw[name])}
    assert differing == {"1.weight"}
