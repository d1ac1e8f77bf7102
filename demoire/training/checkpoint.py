"""The state of a training run on disk, from which it goes on."""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from demoire.errors import UsageError
from demoire.training.config import TrainConfig
from demoire.training.curves import CurveRow
from demoire.training.optimizers import Optimizer
from demoire.training.tasks import TrainingTask

_CHECKPOINT = "checkpoint.pt"


# What may change between a run and its resumption: it does not change the weights, but for the end
# of the run.
_FREE = {"minutes", "log_every", "checkpoint_every", "threads", "device", "search"}


@dataclass
class _Run:
    """What changes while training, and all that a checkpoint has to hold."""

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
    for name in ("workers", "cache_megapixels", *(() if shards else ("shards",))):
        del facts["data"][name]
    return json.dumps(facts, sort_keys=True)


def _save_checkpoint(run: _Run, task: TrainingTask, out: Path) -> None:
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
    unfinished = out / (_CHECKPOINT + ".part")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, out / _CHECKPOINT)


def _load_checkpoint(run: _Run, task: TrainingTask, out: Path) -> None:
    path = out / _CHECKPOINT
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        config = state["config"]
    except Exception as error:  # torch raises what its zip reader or unpickler happens to raise
        raise UsageError(f"The checkpoint {path} is damaged; remove it and train anew.") from error
    if config != run.fingerprint:
        raise UsageError(
            f"The run in {out} has another configuration; resume with its own, or choose another folder."
        )
    run.network.load_state_dict(state["network"])
    run.mean.load_state_dict(state["mean"])
    run.optimizer.load_state_dict(state["optimizer"])
    if task.adversary is not None:
        task.adversary.load_state_dict(state["adversary"])
    torch.set_rng_state(state["torch_rng"])
    run.step, run.best, run.stale = state["step"], state["best"], state["stale"]
    run.figures, run.curve = json.loads(state["figures"]), state["curve"]


def check_out(out: Path, resume: bool) -> None:
    """Whether a run may write into `out`. Raises UsageError where it holds one that is not to be
    gone on with.
    """
    if (out / _CHECKPOINT).exists() and not resume:
        raise UsageError(
            f"{out} holds a run already; add --resume to go on with it, or choose another folder."
        )
