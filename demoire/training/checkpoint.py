"""The state of a training run, and the file from which it goes on.

A checkpoint holds all that changes while training: network, running mean, optimizer, discriminator,
torch's generator, and the curve so far. Together with samples that depend on their number alone, a
run that was cut and resumed ends with the same bits as one that was not.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from demoire.errors import UsageError
from demoire.files import whole_file
from demoire.training.config import TrainConfig
from demoire.training.curves import CurveRow
from demoire.training.optimizers import Optimizer
from demoire.training.tasks import TrainingTask

CHECKPOINT = "checkpoint.pt"

# May change between a run and its resumption: these decide when a run ends, not what it learns.
_FREE = {"minutes", "log_every", "checkpoint_every", "threads", "device", "search"}
# Younger than 0.2's first checkpoints, which have to go on: left out where it has its default.
_ADDED = (
    ("data", "press"),
    ("data", "grids"),
    ("data", "fresh_scenes"),
    ("field", "twins"),
    ("field", "strongest"),
    ("restorer_loss", "tone"),
)


@dataclass
class TrainingRun:
    """All that changes while training, and so all that a checkpoint holds."""

    network: nn.Module
    mean: nn.Module  # running mean of the network's weights
    optimizer: Optimizer
    fingerprint: str  # of its configuration
    step: int = 0
    best: float = -math.inf
    stale: int = 0  # validations since the best one
    figures: dict[str, Any] = field(default_factory=dict)
    curve: list[CurveRow] = field(default_factory=list)


def fingerprint(config: TrainConfig, shards: Path | None) -> str:
    """All that decides the weights, as JSON: equal for equal runs."""
    facts = config.model_dump(mode="json", exclude=_FREE)
    chosen = config.model_dump(exclude_defaults=True)
    for section, key in _ADDED:
        if key not in chosen.get(section, {}):
            del facts[section][key]
    data = facts["data"]
    del data["workers"]
    del data["cache_megapixels"]
    if not shards:
        del data["shards"]
    return json.dumps(facts, sort_keys=True)


def save_checkpoint(run: TrainingRun, task: TrainingTask, out: Path) -> None:
    """Write the checkpoint of a run into its folder, in one step."""
    state = {
        "config": run.fingerprint,
        "network": run.network.state_dict(),
        "mean": run.mean.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "adversary": None if task.adversary is None else task.adversary.state_dict(),
        "torch_rng": torch.get_rng_state(),
        "step": run.step,
        "best": run.best,
        "stale": run.stale,
        "figures": json.dumps(run.figures),
        "curve": run.curve,
    }
    with whole_file(out / CHECKPOINT) as unfinished:
        torch.save(state, unfinished)


def load_checkpoint(run: TrainingRun, task: TrainingTask, out: Path) -> None:
    """Bring a run to where the checkpoint in its folder was written.

    Raises:
        UsageError: The checkpoint is damaged, or that of another configuration.
    """
    state = _read_checkpoint(out, run.fingerprint)
    run.network.load_state_dict(state["network"])
    run.mean.load_state_dict(state["mean"])
    run.optimizer.load_state_dict(state["optimizer"])
    if task.adversary is not None:
        task.adversary.load_state_dict(state["adversary"])
    torch.set_rng_state(state["torch_rng"])
    run.step = state["step"]
    run.best = state["best"]
    run.stale = state["stale"]
    run.figures = json.loads(state["figures"])
    run.curve = state["curve"]


def _read_checkpoint(out: Path, expected: str) -> dict[str, Any]:
    """What the checkpoint in a run's folder holds.

    Raises:
        UsageError: The checkpoint is damaged, or its run has another fingerprint.
    """
    path = out / CHECKPOINT
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        config = state["config"]
    except Exception as error:  # torch raises what its zip reader or unpickler happens to raise
        raise UsageError(f"The checkpoint {path} is damaged; remove it and train anew.") from error
    if config != expected:
        raise UsageError(
            f"The run in {out} has another configuration; "
            "resume with its own, or choose another folder."
        )
    return state


def check_out(out: Path, config: TrainConfig, shards: Path | None, *, resume: bool) -> None:
    """Check that a run may write into `out`.

    Raises:
        UsageError: It holds a run already, and `resume` was not asked for; or it is to be resumed,
            and its checkpoint is damaged or that of another configuration.
    """
    if not (out / CHECKPOINT).exists():
        return
    if not resume:
        raise UsageError(
            f"{out} holds a run already; add --resume to go on with it, or choose another folder."
        )
    _read_checkpoint(out, fingerprint(config, shards))
