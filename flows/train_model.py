"""The Prefect flow of training: simulate -> train -> evaluate -> register, the functions of the
command line as tasks.

A task that is tried again goes on where the last try ended: training from its last checkpoint,
shards from the last one that is whole; so a retry costs minutes, not the night. The figures are
left as tables, and links lead to the learning curve and the page of the evaluation on the machine
that ran the flow.
"""

import csv
import math
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact

from demoire.errors import DemoireError
from demoire.models.weights import find_weights
from flows.leash import leash_children
from flows.tasks import as_task
from pipelines.storage.open import open_place
from pipelines.training.job import Trained, TrainJob, run_training

_MOST_ROWS = 200  # of the learning curve; curve.csv has them all


def run_train_flow(job: TrainJob) -> Trained:
    """Run the flow in this process, on the server of PREFECT_API_URL or an ephemeral one.

    Raises:
        UsageError: A URL carries credentials; nothing has reached Prefect then.
        DemoireError: Whatever `train_model` raises.
    """
    if job.registry is not None:
        open_place(job.registry)
    leash_children()
    return train_model(job)


@flow(name="train-model", flow_run_name="{job.config}", persist_result=False, log_prints=False)
def train_model(job: TrainJob) -> Trained:
    """Train by a configuration; where a name is given, evaluate on pairs of the test split and
    register what is better.

    Raises:
        DemoireError: The run was stopped before its first validation.
    """
    done = run_training(job, as_task)
    result = done.result
    if result.weights is None:
        raise DemoireError(
            f"Training stopped at step {result.step}, before any validation; go on with --resume."
        )
    weights = find_weights(str(result.weights))
    facts = [("sha256", weights.digest), ("step", str(result.step)), *_flat(result.figures)]
    _table(
        "trained-weights",
        facts,
        f"{weights.name}: {weights.architecture}, on images it was not trained on",
    )
    _curve(job.out)
    if done.contest is not None:
        facts = [("registration", done.sentence()), *_flat(done.contest.figures)]
        _table(
            "evaluated-weights",
            facts,
            f"{weights.name} on pairs of the test split; all is in evaluation.html",
        )
        _link("evaluation", job.out / "evaluation.html", "the evaluation, with pictures")
    return done


def _curve(out: Path) -> None:
    with (out / "curve.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    step = math.ceil(len(rows) / _MOST_ROWS)
    create_table_artifact(
        table=rows[::step],
        key="learning-curve",
        description=f"every {step}. row of curve.csv",
    )
    _link("learning-curve-picture", out / "curve.png", "the learning curve")


def _table(key: str, facts: list[tuple[str, str]], description: str) -> None:
    table = [{"figure": name, "value": value} for name, value in facts]
    create_table_artifact(table=table, key=key, description=description)


def _link(key: str, file: Path, text: str) -> None:
    create_link_artifact(link=file.resolve().as_uri(), link_text=text, key=key)


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """{"a": {"b": 1}} as [("a.b", "1")]: an artifact's table has one level."""
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, str(value)))
    return rows
