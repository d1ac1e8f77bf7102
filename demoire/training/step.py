"""One training step, and how a network begins."""

import math
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from demoire.errors import DemoireError
from demoire.models.layers import channels_last
from demoire.training.checkpoint import CHECKPOINT, TrainingRun, fingerprint, load_checkpoint
from demoire.training.config import TrainConfig
from demoire.training.optimizers import build_optimizer, learning_rate
from demoire.training.start import start_network
from demoire.training.tasks import TrainingTask


def begin_run(
    task: TrainingTask, config: TrainConfig, out: Path, shards: Path | None
) -> TrainingRun:
    """A run at its first step, or where its checkpoint in `out` left it.

    Raises:
        WeightsError: The weights to start from are missing, damaged or of another structure.
        UsageError: The checkpoint is damaged, or that of another configuration.
    """
    network = channels_last(start_network(config).to(config.device))
    run = TrainingRun(
        network=network,
        mean=deepcopy(network).eval().requires_grad_(False),
        optimizer=build_optimizer(network, config.optimizer),
        fingerprint=fingerprint(config, shards),
    )
    if (out / CHECKPOINT).exists():
        load_checkpoint(run, task, out)
    return run


def train_step(
    run: TrainingRun, task: TrainingTask, batch: Any, config: TrainConfig
) -> dict[str, float]:
    """Do one step.

    Returns:
        The losses, as columns of the curve.

    Raises:
        DemoireError: A loss is no longer a number.
    """
    rate = learning_rate(run.step, config.steps, config.optimizer)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    loss = task.loss(run.network, batch)
    values = {"loss": loss.item()}
    if config.optimizer.l1:
        weights = sum(parameter.abs().sum() for parameter in run.network.parameters())
        loss = loss + config.optimizer.l1 * weights
    run.network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    limit = config.optimizer.clip_norm or math.inf
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), limit)
    # A norm that is no number would spoil the weights as a loss would.
    _expect_number(values["loss"] + norm.item(), "loss", run.step, "optimizer.learning_rate")
    run.optimizer.step()
    if task.adversary is not None:
        of_discriminator = task.adversary.step()
        values["discriminator_loss"] = of_discriminator
        rate_name = "discriminator.learning_rate"
        _expect_number(of_discriminator, "discriminator's loss", run.step, rate_name)
    _update_mean(run, config.optimizer.ema)
    run.step += 1
    return values


def in_words(figures: Mapping[str, float]) -> str:
    """Named figures on one line, for the log."""
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _update_mean(run: TrainingRun, decay: float) -> None:
    """Move the running mean; its memory is short at first, so that it forgets the random start."""
    decay = min(decay, (1 + run.step) / (10 + run.step))
    means: list[Tensor] = list(run.mean.parameters())
    weights: list[Tensor] = list(run.network.parameters())
    with torch.no_grad():
        torch._foreach_lerp_(means, weights, 1 - decay)
        for kept, current in zip(run.mean.buffers(), run.network.buffers(), strict=True):
            kept.copy_(current)  # the statistics of normalisation are running means already


def _expect_number(value: float, what: str, step: int, rate: str) -> None:
    if not math.isfinite(value):
        raise DemoireError(
            f"The {what} is no longer a number at step {step}; lower {rate}; "
            "the last good checkpoint and its weights are kept."
        )
