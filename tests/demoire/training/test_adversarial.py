"""The discriminator: it learns to tell restored from clean, and pulls the restored the right
way.
"""

import pytest
import torch
from torch import Tensor

from demoire.training.adversarial import Adversary, Discriminator
from demoire.training.config import DiscriminatorConfig

UNDECIDED = 0.6931  # log 2


def _batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (4, 3, 32, 32), restored pictures that are flat, and clean twins with texture."""
    generator = torch.Generator().manual_seed(seed)
    moire, texture = torch.rand(2, 4, 3, 32, 32, generator=generator)
    return moire, torch.full_like(moire, 0.5), texture


def _adversary(warmup_steps: int) -> Adversary:
    torch.set_num_threads(1)  # on pictures so small two would only wait for each other
    torch.manual_seed(0)
    return Adversary(
        DiscriminatorConfig(widths=(8, 16), learning_rate=5e-3, warmup_steps=warmup_steps), "cpu"
    )


def test_patches_are_judged_one_by_one() -> None:
    moire, restored, _ = _batch(0)
    network = Discriminator((8, 16)).eval()
    verdict = network(moire, restored)
    assert verdict.shape == (4, 1, 8, 8)
    # six patches of 4 px to the right of the first one, which is 18 px wide
    restored[:, :, :, 20:] = 0
    assert torch.equal(network(moire, restored)[..., :2], verdict[..., :2])
    assert not torch.equal(network(moire, restored)[..., -1], verdict[..., -1])


def test_it_learns_to_tell_and_what_it_says_then_pulls_towards_texture() -> None:
    adversary = _adversary(warmup_steps=0)
    losses = []
    for seed in range(20):
        adversary.loss(*_batch(seed))
        losses.append(adversary.step())
    assert losses[0] == pytest.approx(UNDECIDED, abs=0.1) and losses[-1] < 0.5
    moire, flat, texture = _batch(99)
    assert adversary.loss(moire, flat, texture) > adversary.loss(moire, texture, texture)
    assert adversary.loss(moire, texture, texture) == pytest.approx(UNDECIDED, abs=1e-4)
    flat.requires_grad_()
    adversary.loss(moire, flat, texture).backward()
    assert flat.grad is not None and flat.grad.abs().sum() > 0


def test_it_adds_nothing_while_it_warms_up() -> None:
    adversary = _adversary(warmup_steps=2)
    added = []
    for seed in range(3):
        added.append(adversary.loss(*_batch(seed)).item())
        adversary.step()
    assert added[:2] == [0, 0] and added[2] > 0
