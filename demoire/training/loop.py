"""The training loop, one for both networks: it can be stopped at any step and goes on as if it had
not been.

A checkpoint holds weights, optimizer, running mean and curve; the samples depend on their numbers
alone; so a run that was cut and resumed ends with the same bits as one that was not (on one
machine's CPU, with as many threads). The weights that are kept are the running mean's (EMA), at the
best validation so far (or, with `keep = "last"`, at the last one); OUT has them from the first
validation on:

    OUT/NAME.safetensors   the weights           OUT/curve.csv, curve.png   the learning curve
    OUT/metrics.json       their figures         OUT/tensorboard            the same as event files, see curves.py
    OUT/checkpoint.pt      where `resume` goes on
"""

import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from demoire.errors import DemoireError, UsageError, WeightsError
from demoire.models.layers import channels_last
from demoire.models.networks import fill_network, load_restorer
from demoire.models.precision import without_tf32
from demoire.models.unet import UNet
from demoire.models.weights import UNET, find_weights
from demoire.training.checkpoint import (
    CHECKPOINT,
    TrainingRun,
    check_out,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from demoire.training.config import TrainConfig
from demoire.training.curves import draw_png, write_csv, write_events
from demoire.training.data import PairSource, Sample, Samples, batches, field_tiles
from demoire.training.field import FieldFolder
from demoire.training.field_tiles import FieldTiles
from demoire.training.growth import can_grow, grow
from demoire.training.optimizers import build_optimizer, learning_rate
from demoire.training.shards import make_shards, missing_shards
from demoire.training.tasks import TASKS, TrainingTask

log = logging.getLogger(__name__)


# Called after each validation with step and score. What it raises ends the run.
OnValidation = Callable[[int, float], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    weights: Path | None  # None when it was stopped before the first validation
    step: int
    # all steps done, or stopped early by patience; False after the time limit or an interruption
    finished: bool
    score: float  # of the best validation: gain in dB, or partial AUC; -inf before the first one
    figures: dict[str, Any]
    seconds: float


def _update_mean(run: TrainingRun, decay: float) -> None:
    """Short memory at first, so that the random start is soon forgotten."""
    decay = min(decay, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.mean.parameters()), list(run.network.parameters()), 1 - decay)
        for kept, current in zip(run.mean.buffers(), run.network.buffers(), strict=True):
            kept.copy_(current)  # the statistics of normalisation are running means already


def _read_start(config: TrainConfig, network: nn.Module) -> None:
    weights = find_weights(str(config.start_from))
    if isinstance(network, UNet) and weights.architecture == UNET:
        smaller = load_restorer(str(config.start_from))
        if isinstance(smaller, UNet) and can_grow(smaller.config, network.config):
            grow(network, smaller)
            return
    try:
        fill_network(network, weights)
    except WeightsError as error:
        raise WeightsError(
            f"The weights {config.start_from} (start_from) are of another structure than this configuration's "
            f"{config.task}; make [{config.task}] theirs, or start from others."
        ) from error


def _start(task: TrainingTask, config: TrainConfig, out: Path, shards: Path | None) -> TrainingRun:
    network = task.network()
    if config.start_from:
        _read_start(config, network)
    network = channels_last(network.to(config.device))
    mean = deepcopy(network).eval().requires_grad_(False)
    run = TrainingRun(
        network, mean, build_optimizer(network, config.optimizer), fingerprint(config, shards)
    )
    if (out / CHECKPOINT).exists():
        load_checkpoint(run, task, out)
    return run


def _train_step(
    run: TrainingRun, task: TrainingTask, batch: Any, config: TrainConfig
) -> dict[str, float]:
    """One step; the losses as columns of the curve."""
    rate = learning_rate(run.step, config.steps, config.optimizer)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    loss = task.loss(run.network, batch)
    values = {"loss": loss.item()}
    if config.optimizer.l1:
        loss = loss + config.optimizer.l1 * sum(p.abs().sum() for p in run.network.parameters())
    run.network.zero_grad(set_to_none=True)
    loss.backward()
    limit = config.optimizer.clip_norm or math.inf
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), limit)
    _expect_number(values["loss"] + norm.item(), "loss", run.step, "optimizer.learning_rate")
    run.optimizer.step()
    if task.adversary is not None:
        values["discriminator_loss"] = task.adversary.step()
        _expect_number(
            values["discriminator_loss"],
            "discriminator's loss",
            run.step,
            "discriminator.learning_rate",
        )
    _update_mean(run, config.optimizer.ema)
    run.step += 1
    return values


def _expect_number(value: float, what: str, step: int, rate: str) -> None:
    if not math.isfinite(value):
        raise DemoireError(
            f"The {what} is no longer a number at step {step}; lower {rate}; the last good checkpoint and its weights "
            "are kept."
        )


def _said(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _validate(run: TrainingRun, task: TrainingTask, config: TrainConfig, out: Path) -> float:
    """Measure the running mean; keep its weights and figures if they are the best so far, or the
    last are wanted.

    The score.
    """
    found = task.validate(run.mean)
    run.curve.append({"step": run.step, **found.curve})
    log.info("step %d: %s", run.step, _said(found.curve))
    run.stale = 0 if found.score > run.best else run.stale + 1
    run.best = max(run.best, found.score)
    if run.stale == 0 or config.keep == "last":
        run.figures = found.figures
        facts = {
            "name": config.name,
            "step": run.step,
            "score": round(found.score, 5),
            "figures": found.figures,
        }
        task.save(run.mean, out / f"{config.name}.safetensors", {"training": facts})
        unfinished = out / "metrics.json.part"
        unfinished.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        os.replace(unfinished, out / "metrics.json")
    write_csv(run.curve, out / "curve.csv")
    draw_png(run.curve, out / "curve.png")
    write_events(run.curve, out / "tensorboard")
    return found.score


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGINT or SIGTERM has come; the step at hand is finished
    first.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(name: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """Gives a function to call after each step with what to show: a bar on a terminal, else nothing
    (see the log).
    """
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with Progress(console=Console(stderr=True)) as bar:
        line = bar.add_task(name, total=total, completed=done)
        yield lambda text: bar.update(line, advance=1, description=text)


def _batches(
    source: PairSource, tiles: FieldTiles | None, config: TrainConfig, first: int
) -> Iterator[Sample]:
    """The batches from step `first` to the end, stage by stage of the curriculum."""
    for number, (begin, end, data) in enumerate(config.stages()):
        if end > first:
            seed = (data.seed, number) if number else (data.seed,)
            samples = Samples(source.under(data), config.task, data, seed, tiles)
            yield from batches(samples, max(begin, first), end, data)


def _steps(
    run: TrainingRun,
    task: TrainingTask,
    source: PairSource,
    tiles: FieldTiles | None,
    config: TrainConfig,
    out: Path,
    title: str,
    on_validation: OnValidation | None,
) -> bool:
    """Train until the end, early stopping, the time limit or a signal; whether it was one of the
    first two.
    """
    began = time.monotonic()
    recent: list[dict[str, float]] = []
    limit = math.inf if config.minutes is None else 60 * config.minutes
    with _stop_on_signal() as stop_asked, _progress(title, config.steps, run.step) as show:
        for batch in _batches(source, tiles, config, run.step):
            recent.append(_train_step(run, task, batch, config))
            show(f"{title} loss {recent[-1]['loss']:.4f}")
            if run.step % config.log_every == 0:
                seconds = time.monotonic() - began
                means = {name: sum(row[name] for row in recent) / len(recent) for name in recent[0]}
                losses = {name: round(mean, 6) for name, mean in means.items()}
                run.curve.append({"step": run.step, **losses, "seconds": round(seconds, 1)})
                rate = learning_rate(run.step, config.steps, config.optimizer)
                log.info(
                    "step %d/%d: %s, rate %.2e, %.0f s",
                    run.step,
                    config.steps,
                    _said(losses),
                    rate,
                    seconds,
                )
                recent = []
            last = run.step == config.steps
            if last or run.step % config.validate_every == 0:
                score = _validate(run, task, config, out)
                if on_validation is not None:
                    on_validation(run.step, score)
            early = config.patience > 0 and run.stale >= config.patience
            stopped = stop_asked() or time.monotonic() - began > limit
            if last or early or stopped or run.step % config.checkpoint_every == 0:
                save_checkpoint(run, task, out)
            if last or early:
                return True
            if stopped:
                log.info(
                    "stopped at step %d of %d; resume goes on from there", run.step, config.steps
                )
                return False
    return True


def fill_shards(shards: Path, images: Path, config: TrainConfig) -> None:
    """Simulate the training pairs that the folder lacks, large enough for every stage of the
    curriculum.

    Raises UsageError where the folder cannot be written.
    """
    data = config.largest()
    if not missing_shards(shards, data.shards):
        return  # before the scenes are decoded
    source = PairSource(images, "train", data)
    with _progress("simulating", data.shards) as show:
        made = make_shards(
            shards, data.shards, source.simulated, data.mix, seed=data.seed, workers=data.workers
        )
        for number in made:
            log.info("shard %d of %d is done", number + 1, data.shards)
            show("simulating")


def train(
    config: TrainConfig,
    images: Path,
    out: Path,
    *,
    resume: bool = False,
    shards: Path | None = None,
    field: FieldFolder | None = None,
    title: str | None = None,
    on_validation: OnValidation | None = None,
) -> TrainResult:
    """Train by this configuration and write weights, figures, curve and checkpoints into `out`.

    images: a folder of clean images (with subfolders). resume: go on from the checkpoint in `out`,
    if there is one. shards: a folder of training pairs simulated beforehand, filled first where it
    is not full; None simulates while training. field: real pictures, of which a detector's training
    takes the share that `config.field` says. Validation pairs are always simulated anew. title: of
    the progress bar, by default the configuration's name. Raises UsageError for a folder without
    images or an `out` that holds another run, WeightsError where the weights to start from are
    missing, damaged or of another structure, DemoireError when the loss is no longer finite; the
    last good checkpoint stays.
    """
    began = time.monotonic()
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {out} cannot be made: {error.strerror}.") from error
    check_out(out, resume=resume)
    if shards is not None:
        fill_shards(shards, images, config)
    source = PairSource(images, "train", config.largest(), shards)
    torch.manual_seed(config.seed)
    if field is not None and config.task != "detector":
        raise UsageError("Field pictures train detectors only; leave out --field.")
    tiles = None if field is None else field_tiles(field, images, config)
    task = TASKS[config.task](config, images, field)
    with without_tf32(torch.device(config.device)):
        run = _start(task, config, out, shards)
        done = run.step >= config.steps or (config.patience > 0 and run.stale >= config.patience)
        finished = done or _steps(
            run, task, source, tiles, config, out, title or config.name, on_validation
        )
    path = out / f"{config.name}.safetensors"
    seconds = time.monotonic() - began
    return TrainResult(
        path if run.figures else None, run.step, finished, run.best, run.figures, seconds
    )
