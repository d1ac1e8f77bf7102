"""The training loop, one for both networks.

It can be stopped at any step and goes on as if there had been no stop. A checkpoint holds weights,
optimizer, running mean and curve, and the samples depend on their numbers alone; so a run that was
cut and resumed ends with the same bits as one that was not (on one machine's CPU, with as many
threads). The weights that are kept are the running mean's (EMA), at the best validation so far (or,
with `keep = "last"`, at the last one); OUT has them from the first validation on:

    OUT/NAME.safetensors        the weights
    OUT/metrics.json            their figures
    OUT/curve.csv, curve.png    the learning curve
    OUT/tensorboard             the same as event files, see curves.py
    OUT/checkpoint.pt           where `resume` goes on
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from demoire.errors import UsageError
from demoire.files import write_whole
from demoire.models.precision import multiplies_bfloat16, without_tf32
from demoire.training.bar import training_bar
from demoire.training.checkpoint import TrainingRun, check_out, save_checkpoint
from demoire.training.config import TrainConfig
from demoire.training.curves import draw_png, write_csv, write_events
from demoire.training.data import PairSource, Sample, Samples, batches
from demoire.training.field import FieldFolder
from demoire.training.field_source import FieldSource, field_source
from demoire.training.fresh_screens import FreshScreens
from demoire.training.inputs import check_inputs
from demoire.training.optimizers import learning_rate
from demoire.training.shard_settings import compare_settings, record_settings
from demoire.training.shards import make_shards, missing_shards
from demoire.training.step import begin_run, in_words, train_step
from demoire.training.stopping import Deadline, stop_on_signal
from demoire.training.tasks import TASKS, TrainingTask

_LOG = logging.getLogger(__name__)

# Called after each validation with step and score. What it raises ends the run.
OnValidation = Callable[[int, float], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    weights: Path | None  # None when it was stopped before the first validation
    step: int
    # All steps done, or stopped early by patience. False after the time limit or an interruption.
    finished: bool
    score: float  # of the best validation: gain in dB, or partial AUC; -inf before the first one
    figures: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class _Session:
    """One call of `train`: what stays the same over all its steps."""

    task: TrainingTask
    source: PairSource
    pictures: FieldSource | None
    fresh: FreshScreens | None
    config: TrainConfig
    out: Path
    title: str
    deadline: Deadline
    on_validation: OnValidation | None


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
    """Train by a configuration; weights, figures, curve and checkpoints go into `out`.

    Args:
        config: The configuration.
        images: A folder of clean images, with subfolders.
        out: The run's folder, made where it is missing.
        resume: Go on from the checkpoint in `out`, if there is one.
        shards: A folder of training pairs simulated beforehand, filled first where it is not full;
            None simulates while training. Validation pairs are always simulated anew.
        field: Real pictures, of which the training takes the share that `config.field` says.
        title: Of the progress bar; by default the configuration's name.
        on_validation: Called after each validation.

    Raises:
        UsageError: There are no images, `out` holds another run, or fresh screens and field
            pictures are both asked for.
        WeightsError: The weights to start from are missing, damaged or of another structure.
        DemoireError: The loss is no longer finite; the last good checkpoint stays.
    """
    began = time.monotonic()
    check_inputs(config, images, field)
    if config.threads:
        torch.set_num_threads(config.threads)
    _make_folder(out)
    check_out(out, config, shards, resume=resume)
    if shards is not None:
        fill_shards(shards, images, config)
    _LOG.info("reading the pictures, and simulating pairs to validate on")
    source = PairSource(images, "train", config.largest(), shards)
    torch.manual_seed(config.seed)
    session = _Session(
        pictures=None if field is None else field_source(field, images, config),
        fresh=_fresh_screens(images, config),
        task=TASKS[config.task](config, images, field),
        source=source,
        config=config,
        out=out,
        title=title or config.name,
        deadline=Deadline(config.minutes, began),
        on_validation=on_validation,
    )
    device = torch.device(config.device)
    if config.precision == "bfloat16" and not multiplies_bfloat16(device):
        _LOG.warning("%s has no instructions for bfloat16: layers compute in float32", device)
    with without_tf32(device):
        run = begin_run(session.task, config, out, shards)
        _LOG.info("training from step %d to %d", run.step, config.steps)
        finished = run.step >= config.steps or _has_lost_patience(run, config)
        if not finished:
            finished = _do_steps(run, session)
    return TrainResult(
        weights=out / f"{config.name}.safetensors" if run.figures else None,
        step=run.step,
        finished=finished,
        score=run.best,
        figures=run.figures,
        seconds=time.monotonic() - began,
    )


def fill_shards(shards: Path, images: Path, config: TrainConfig) -> None:
    """Simulate the training pairs that a folder of shards lacks.

    They are large enough for every stage of the curriculum. Where a folder's pairs were made with
    other settings, the log says so.

    Raises:
        UsageError: The folder cannot be written, or holds pairs that those it lacks would not
            match.
    """
    data = config.largest()
    missing = missing_shards(shards, data.shards)
    is_new = not any(shards.glob("rows-*.csv"))
    if not is_new:
        compare_settings(shards, data, are_whole=not missing)
    if not missing:
        return  # before the scenes are decoded
    source = PairSource(images, "train", data)
    with training_bar("simulating", data.shards) as show:
        made = make_shards(
            shards, data.shards, source.simulated, data.mix, seed=data.seed, workers=data.workers
        )
        if is_new:
            record_settings(shards, data)
        for number in made:
            _LOG.info("shard %d of %d is done", number + 1, data.shards)
            show("simulating")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {out} cannot be made: {error.strerror}.") from error


def _fresh_screens(images: Path, config: TrainConfig) -> FreshScreens | None:
    if not config.data.fresh_scenes:
        return None
    scenes = PairSource(images, "train", config.data)  # without shards, which have no scenes
    return FreshScreens(scenes, config.data, config.device)


def _do_steps(run: TrainingRun, session: _Session) -> bool:
    """Train until the end, early stopping, the time limit or a signal.

    Returns:
        Whether it was one of the first two.
    """
    config = session.config
    began = time.monotonic()
    recent: list[dict[str, float]] = []
    with (
        stop_on_signal() as stop_asked,
        training_bar(session.title, config.steps, run.step) as show,
    ):
        for batch in _batches(session, run.step):
            if session.fresh is not None:
                batch = session.fresh.into(batch, run.step)
            losses = train_step(run, session.task, batch, config)
            recent.append(losses)
            show(f"{session.title} loss {losses['loss']:.4f}")
            seconds = time.monotonic() - began
            if run.step % config.log_every == 0:
                _note_losses(run, config, recent, seconds)
                recent = []
            is_last = run.step == config.steps
            if is_last or run.step % config.validate_every == 0:
                score = _validate(run, session)
                if session.on_validation is not None:
                    session.on_validation(run.step, score)
            is_done = is_last or _has_lost_patience(run, config)
            is_stopped = session.deadline.is_near() or stop_asked()
            if is_done or is_stopped or run.step % config.checkpoint_every == 0:
                save_checkpoint(run, session.task, session.out)
            if is_done:
                return True
            if is_stopped:
                _LOG.info(
                    "stopped at step %d of %d; resume goes on from there", run.step, config.steps
                )
                return False
    return True


def _batches(session: _Session, first: int) -> Iterator[Sample]:
    """The batches from step `first` to the end, stage by stage of the curriculum."""
    config = session.config
    for number, (begin, end, data) in enumerate(config.stages()):
        if end > first:
            # The first stage has no number, so that adding a curriculum keeps its samples.
            seed = (data.seed, number) if number else (data.seed,)
            source = session.source.under(data)
            samples = Samples(source, config.task, data, seed, session.pictures)
            yield from batches(samples, max(begin, first), end, data)


def _has_lost_patience(run: TrainingRun, config: TrainConfig) -> bool:
    return config.patience > 0 and run.stale >= config.patience


def _note_losses(
    run: TrainingRun, config: TrainConfig, recent: Sequence[dict[str, float]], seconds: float
) -> None:
    """Put the means of the recent losses into the curve and the log."""
    losses = {}
    for name in recent[0]:
        total = sum(row[name] for row in recent)
        losses[name] = round(total / len(recent), 6)
    run.curve.append({"step": run.step, **losses, "seconds": round(seconds, 1)})
    rate = learning_rate(run.step, config.steps, config.optimizer)
    _LOG.info(
        "step %d/%d: %s, rate %.2e, %.0f s",
        run.step,
        config.steps,
        in_words(losses),
        rate,
        seconds,
    )


def _validate(run: TrainingRun, session: _Session) -> float:
    """Measure the running mean, and keep its weights where they are wanted.

    Returns:
        The score.
    """
    config = session.config
    out = session.out
    validation = session.task.validate(run.mean)
    run.curve.append({"step": run.step, **validation.curve})
    _LOG.info("step %d: %s", run.step, in_words(validation.curve))
    if validation.score > run.best:
        run.best = validation.score
        run.stale = 0
    else:
        run.stale += 1
    if run.stale == 0 or config.keep == "last":
        run.figures = validation.figures
        facts = {
            "name": config.name,
            "step": run.step,
            "score": round(validation.score, 5),
            "figures": validation.figures,
        }
        weights = out / f"{config.name}.safetensors"
        session.task.save(run.mean, weights, {"training": facts})
        write_whole(out / "metrics.json", json.dumps(facts, indent=1).encode())
    write_csv(run.curve, out / "curve.csv")
    draw_png(run.curve, out / "curve.png")
    write_events(run.curve, out / "tensorboard")
    return validation.score
