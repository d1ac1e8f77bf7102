"""Training as a Prefect flow: train -> evaluate -> record, with the figures as an artifact.

Training simulates its pairs as it goes, so its only input is a folder of clean images; the figures are of images that
it never trained on. A training task that is tried again goes on from its last checkpoint, so a retry costs minutes, not
the night. `demoire train` calls the same loop without Prefect; `--prefect` comes here.
"""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from demoire.errors import DemoireError
from demoire.training.config import load_config
from demoire.training.loop import TrainResult, train
from demoire.weights import find_weights


@task(retries=2, retry_delay_seconds=30, persist_result=False, cache_policy=NO_CACHE)
def train_weights(config: str, images: Path, out: Path, resume: bool, shards: Path | None) -> TrainResult:
    """Train, or go on from the checkpoint that an earlier try left in `out`."""
    from prefect.context import TaskRunContext

    context = TaskRunContext.get()
    tried = context is not None and context.task_run.run_count > 1
    return train(load_config(config), images, out, resume=resume or tried, shards=shards)


@flow(name="train-model", persist_result=False, log_prints=False)
def train_model(config: str, images: Path, out: Path, resume: bool = False, shards: Path | None = None) -> Path:
    """Train by a configuration (shipped name or TOML file) and return the weights file.

    Raises DemoireError when the run was stopped before its first validation.
    """
    result = train_weights(config, images, out, resume, shards)
    if result.weights is None:
        raise DemoireError(f"Training stopped at step {result.step}, before any validation; go on with --resume.")
    weights = find_weights(str(result.weights))
    facts = [("sha256", weights.digest), ("step", str(result.step)), *_flat(result.figures)]
    create_table_artifact(
        table=[{"figure": name, "value": value} for name, value in facts],
        key="trained-weights",
        description=f"{weights.name}: {weights.architecture}, on images it was not trained on",
    )
    return result.weights


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """{"a": {"b": 1}} as [("a.b", 1)]: an artifact's table has one level."""
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, str(value))]
    return rows
