"""The search for structures and rates: many short trainings, each with values that the earlier ones
speak for.

Optuna's TPE sampler (Bergstra et al., 2011) chooses the values, and its median pruner gives up a
trial whose score is below the median of the others after as many steps. All it knows is in
OUT/search.db, and trial `n` depends on the seed, on `n` and on the trials before it, so a search
that was cut goes on with the same command as if it had not been: the trial that was in work from
its last checkpoint.

    OUT/best.toml     the best one, for `demoire train`     OUT/trials/NNN    each trial's run
    OUT/trials.csv    all of them                           OUT/search.db     where the same command goes on
    OUT/search.png    scores over cost and values

A trial costs what a training of as many steps costs; with shards the pairs are simulated but once.
"""

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from demoire.errors import ConfigError, DemoireError, UsageError
from demoire.models.detector import Detector
from demoire.models.layers import network_cost
from demoire.models.restorer import build_restorer
from demoire.training.checkpoint import fingerprint
from demoire.training.config import (
    SearchOptions,
    SearchRange,
    Task,
    TrainConfig,
    to_toml,
    with_values,
)
from demoire.training.data import find_images
from demoire.training.loop import train
from demoire.training.search.trials import State, Trial, best_of, draw_trials, write_trials

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

Space = dict[str, SearchOptions]  # what is varied, by dotted path

# Where the configuration has no [search].
DEFAULT_SPACES: Mapping[Task, Space] = {
    "restorer": {
        "optimizer.learning_rate": SearchRange(low=2e-4, high=3e-3, log=True),
        "restorer.widths": [[24, 32, 48, 64], [32, 48, 64, 96], [48, 64, 96, 128]],
        "restorer.middle_depth": SearchRange(low=1, high=4),
    },
    "detector": {
        "optimizer.learning_rate": SearchRange(low=2e-4, high=3e-3, log=True),
        "detector.hidden": [32, 64, 128],
        "detector_loss.focal_gamma": [0.0, 1.0, 2.0],
    },
}

_STORE, _BEST, _TRIALS = "search.db", "best.toml", "trials"
_STUDY = "demoire"
_AT_RANDOM = 5  # trials before the sampler and the pruner begin to judge


@dataclass(frozen=True)
class SearchResult:
    """What came of a search."""

    best: Trial
    config: Path  # of the best one
    trials: tuple[Trial, ...]
    space: Space
    finished: bool  # False after the time limit or an interruption


@dataclass(frozen=True)
class _Job:
    """What is the same for all trials."""

    config: TrainConfig
    space: Space
    images: Path
    out: Path
    shards: Path | None
    max_kmac: float | None
    ends: float  # by time.monotonic(), in seconds


def search(
    config: TrainConfig,
    images: Path,
    out: Path,
    *,
    trials: int = 20,
    minutes: float | None = None,
    shards: Path | None = None,
    max_kmac: float | None = None,
) -> SearchResult:
    """Try values of the configuration's [search], or of a default one, until there are so many
    trials in `out`.

    images, shards: as for `train`. minutes: no longer than this; the trial in work stops with a
    checkpoint. max_kmac: structures that cost more kMAC a pixel are not trained, and count as
    trials all the same. Raises UsageError where Optuna is missing, where `out` holds another
    search, or for a folder without images; ConfigError for a path in [search] that there is not, or
    a value out of range; DemoireError where no trial was done.
    """
    ends = math.inf if minutes is None else time.monotonic() + 60 * minutes
    if find_spec("optuna") is None:
        raise UsageError("A search needs Optuna; install it with: pip install 'demoire[search]'.")
    space = dict(config.search or DEFAULT_SPACES[config.task])
    _check(config, space)
    find_images(images, "train")  # raises where there are none, before anything is written
    job = _Job(config, space, images, out, shards, max_kmac, ends)
    study = _open(job)
    for trial in _trials(study, trials, config.seed):
        going = _run(job, study, trial, f"trial {trial.number + 1} of {trials}")
        _report(job, study, trial.number)
        if not going or time.monotonic() >= ends:
            break
    found = _found(job, study)
    finished = len(found) >= trials and all(trial.state != "unfinished" for trial in found)
    best = best_of(found)
    if best is None:
        why = next((f"; the first: {trial.why}" for trial in found if trial.why), "")
        raise DemoireError(
            f"None of the {len(found)} trials in {out} was done{why or '; the same search goes on.'}"
        )
    return SearchResult(best, out / _BEST, found, space, finished)


def _check(config: TrainConfig, space: Space) -> None:
    if config.minutes is not None:
        raise ConfigError(
            "A search compares trials of equal length: take minutes out of its configuration."
        )
    for path, options in space.items():
        for value in options if isinstance(options, list) else (options.low, options.high):
            with_values(config, {path: value})


def _open(job: _Job) -> "optuna.Study":
    """The study in OUT, a new one where there is none. Raises UsageError where it is another's."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    store, out = job.out / _STORE, job.out
    if not store.exists() and (out / _TRIALS).exists():
        raise UsageError(f"{out} holds trials of a search that is gone; choose another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {out} cannot be made: {error.strerror}.") from error
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{store.resolve()}",
            study_name=_STUDY,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(_AT_RANDOM, n_warmup_steps=job.config.steps // 4),
            load_if_exists=True,
        )
    except Exception as error:  # Optuna raises what its database layers happen to raise
        raise UsageError(
            f"The search in {store} cannot be opened; remove {out}, or choose another folder."
        ) from error
    options = {path: _plain(options) for path, options in job.space.items()}
    facts = json.dumps([fingerprint(job.config, job.shards), options], sort_keys=True)
    if study.user_attrs.get("facts", facts) != facts:
        raise UsageError(
            f"{out} holds another search; go on with its own configuration, or choose another folder."
        )
    study.set_user_attr("facts", facts)
    return study


def _plain(options: SearchOptions) -> Any:
    return options if isinstance(options, list) else options.model_dump()


def _trials(study: "optuna.Study", count: int, seed: int) -> Iterator["optuna.Trial"]:
    """Those that were in work when the search was cut, then new ones until there are `count`."""
    import optuna

    for unfinished in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        yield optuna.Trial(study, unfinished._trial_id)
    while (number := len(study.get_trials(deepcopy=False))) < count:
        # Seeded anew for each, so that a search that goes on draws what it would have drawn.
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=_AT_RANDOM, seed=seed + number)
        yield study.ask()


def _run(job: _Job, study: "optuna.Study", trial: "optuna.Trial", title: str) -> bool:
    """Train with the values of this trial and tell the study; False where the run was stopped
    before its end.
    """
    import optuna

    states = optuna.trial.TrialState
    values = {path: _suggest(trial, path, options) for path, options in job.space.items()}

    def judge(step: int, score: float) -> None:
        trial.report(score, step)
        if step < job.config.steps and trial.should_prune():
            raise optuna.TrialPruned

    try:
        config = with_values(job.config, values)
        kmac = _kmac(config)
        trial.set_user_attr("kmac", round(kmac, 3))
        if job.max_kmac is not None and kmac > job.max_kmac:
            trial.set_user_attr("why", f"{kmac:.2f} kMAC a pixel are above {job.max_kmac:g}")
            study.tell(trial, state=states.PRUNED)
            return True
        if not math.isinf(job.ends):
            config = config.model_copy(update={"minutes": (job.ends - time.monotonic()) / 60})
        folder = job.out / _TRIALS / f"{trial.number:03d}"
        result = train(
            config,
            job.images,
            folder,
            resume=True,
            shards=job.shards,
            title=title,
            on_validation=judge,
        )
    except optuna.TrialPruned:
        study.tell(trial, state=states.PRUNED)
    except (DemoireError, MemoryError, torch.OutOfMemoryError) as error:
        trial.set_user_attr("why", str(error))
        study.tell(trial, state=states.FAIL)
    else:
        if not result.finished:
            return False
        study.tell(trial, result.score)
    return True


def _suggest(trial: "optuna.Trial", path: str, options: SearchOptions) -> Any:
    if isinstance(options, list):  # Optuna takes scalars alone, and these may be lists and tables
        return json.loads(
            trial.suggest_categorical(path, [json.dumps(option) for option in options])
        )
    if isinstance(options.low, int) and isinstance(options.high, int):
        return trial.suggest_int(path, options.low, options.high, log=options.log)
    return trial.suggest_float(path, options.low, options.high, log=options.log)


def _kmac(config: TrainConfig) -> float:
    network = (
        build_restorer(config.restorer) if config.task == "restorer" else Detector(config.detector)
    )
    return network_cost(network).macs_per_pixel / 1000


def _found(job: _Job, study: "optuna.Study") -> tuple[Trial, ...]:
    return tuple(_trial(trial, job.space) for trial in study.get_trials(deepcopy=False))


def _trial(trial: "optuna.trial.FrozenTrial", space: Space) -> Trial:
    why = trial.user_attrs.get("why", "")
    states: dict[str, State] = {
        "COMPLETE": "done",
        "PRUNED": "refused" if why else "pruned",
        "FAIL": "failed",
    }
    state = states.get(trial.state.name, "unfinished")
    scores = trial.intermediate_values.values()
    score = round(max(scores), 5) if scores else None
    values = {
        path: json.loads(value) if isinstance(space[path], list) else value
        for path, value in trial.params.items()
    }
    return Trial(trial.number, state, score, trial.user_attrs.get("kmac"), values, why)


def _report(job: _Job, study: "optuna.Study", number: int) -> None:
    """Write what is known so far, each file in one step."""
    found = _found(job, study)
    trial, best = found[number], best_of(found)
    log.info(
        "trial %d is %s, score %s: %s", number, trial.state, trial.score, trial.why or trial.values
    )
    write_trials(found, job.space, job.out / "trials.csv")
    draw_trials(found, job.space, job.out / "search.png")
    if best is not None:
        note = f"# Trial {best.number} of a search, the best of {len(found)}: score {best.score:.5g}.\n"
        unfinished = job.out / f"{_BEST}.part"
        unfinished.write_text(
            note + to_toml(with_values(job.config, best.values)), encoding="utf-8"
        )
        os.replace(unfinished, job.out / _BEST)
