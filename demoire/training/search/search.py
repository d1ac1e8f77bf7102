"""The search for structures and rates: many short trainings, guided by those before.

Optuna's TPE sampler (Bergstra et al., 2011) chooses the values, and its median pruner gives up a
trial whose score is below the median of the others after as many steps. All it knows is in
OUT/search.db, and trial `n` depends on the seed, on `n` and on the trials before it. So a search
that was cut goes on with the same command as if there had been no cut; the trial that was running
goes on from its last checkpoint.

    OUT/best.toml     the best one, for `demoire train`
    OUT/trials.csv    all of them
    OUT/search.png    scores over cost and values
    OUT/trials/NNN    each trial's run
    OUT/search.db     where the same command goes on

A trial costs what a training of as many steps costs; with shards the pairs are simulated but once.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from demoire.errors import ConfigError, DemoireError, UsageError
from demoire.files import write_whole
from demoire.models.cost import network_cost
from demoire.models.detector import Detector
from demoire.models.restorer import build_restorer
from demoire.training.checkpoint import fingerprint
from demoire.training.config import SearchOptions, SearchRange, Task, TrainConfig
from demoire.training.config_files import to_toml, with_values
from demoire.training.inputs import check_inputs
from demoire.training.loop import TrainResult, train
from demoire.training.search.trials import Trial, TrialState, best_of, draw_trials, write_trials

if TYPE_CHECKING:
    import optuna

_LOG = logging.getLogger(__name__)

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

_STORE = "search.db"
_BEST = "best.toml"
_TRIALS = "trials"
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
    """Try values of the configuration's [search] until there are `trials` trials in `out`.

    Args:
        config: What all trials have in common. Without [search] the task's default space is tried.
        images: As for `train`.
        out: The search's folder; one that holds a search already is gone on with.
        trials: How many there are to be in the end.
        minutes: Stop after this time; the running trial leaves a checkpoint.
        shards: As for `train`.
        max_kmac: Structures that cost more kMAC a pixel are not trained; they count as trials.

    Raises:
        UsageError: Optuna is missing, `out` holds another search, or there are no images.
        ConfigError: [search] names a path that there is not, or a value out of range.
        DemoireError: No trial came to its end.
    """
    ends = math.inf
    if minutes is not None:
        ends = time.monotonic() + 60 * minutes
    if find_spec("optuna") is None:
        raise UsageError("A search needs Optuna; install it with: pip install 'demoire[search]'.")
    space = dict(config.search or DEFAULT_SPACES[config.task])
    _check(config, space)
    check_inputs(config, images)
    job = _Job(config, space, images, out, shards, max_kmac, ends)
    study = _open(job)
    for trial in _trials(study, trials, config.seed):
        came_to_its_end = _run(job, study, trial, f"trial {trial.number + 1} of {trials}")
        _report(job, study, trial.number)
        if not came_to_its_end or time.monotonic() >= ends:
            break
    tried = _tried(job, study)
    best = best_of(tried)
    if best is None:
        reasons = [trial.why for trial in tried if trial.why]
        rest = f"; the first: {reasons[0]}" if reasons else "; the same search goes on."
        raise DemoireError(f"None of the {len(tried)} trials in {out} was done{rest}")
    unfinished = any(trial.state == "unfinished" for trial in tried)
    finished = len(tried) >= trials and not unfinished
    return SearchResult(best, out / _BEST, tried, space, finished)


def _check(config: TrainConfig, space: Space) -> None:
    if config.minutes is not None:
        raise ConfigError(
            "A search compares trials of equal length: take minutes out of its configuration."
        )
    for path, options in space.items():
        values = options if isinstance(options, list) else [options.low, options.high]
        for value in values:
            with_values(config, {path: value})


def _open(job: _Job) -> "optuna.Study":
    """The study in OUT, a new one where there is none. Raises UsageError where it is another's."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out = job.out
    store = out / _STORE
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
            f"{out} holds another search; go on with its own configuration, "
            "or choose another folder."
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
    while True:
        number = len(study.get_trials(deepcopy=False))
        if number >= count:
            break
        # Seeded anew for each, so that a search that goes on draws what it would have drawn.
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=_AT_RANDOM, seed=seed + number)
        yield study.ask()


def _run(job: _Job, study: "optuna.Study", trial: "optuna.Trial", title: str) -> bool:
    """Train with the values of this trial and tell the study how it went.

    Returns:
        False where the run was stopped before its end.
    """
    import optuna

    states = optuna.trial.TrialState
    values = {path: _suggest(trial, path, options) for path, options in job.space.items()}
    try:
        config = with_values(job.config, values)
        kmac = _kmac(config)
        trial.set_user_attr("kmac", round(kmac, 3))
        if job.max_kmac is not None and kmac > job.max_kmac:
            trial.set_user_attr("why", f"{kmac:.2f} kMAC a pixel are above {job.max_kmac:g}")
            study.tell(trial, state=states.PRUNED)
            return True
        result = _train_trial(job, trial, config, title)
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


def _train_trial(job: _Job, trial: "optuna.Trial", config: TrainConfig, title: str) -> TrainResult:
    """Train one trial to its end, or until the pruner gives it up or the time is over."""
    import optuna

    def judge(step: int, score: float) -> None:
        trial.report(score, step)
        if step < job.config.steps and trial.should_prune():
            raise optuna.TrialPruned

    if not math.isinf(job.ends):
        minutes_left = (job.ends - time.monotonic()) / 60
        config = config.model_copy(update={"minutes": minutes_left})
    return train(
        config,
        job.images,
        job.out / _TRIALS / f"{trial.number:03d}",
        resume=True,
        shards=job.shards,
        title=title,
        on_validation=judge,
    )


def _suggest(trial: "optuna.Trial", path: str, options: SearchOptions) -> Any:
    if isinstance(options, list):
        # Optuna takes scalars alone, and these may be lists and tables.
        choices = [json.dumps(option) for option in options]
        return json.loads(trial.suggest_categorical(path, choices))
    if isinstance(options.low, int) and isinstance(options.high, int):
        return trial.suggest_int(path, options.low, options.high, log=options.log)
    return trial.suggest_float(path, options.low, options.high, log=options.log)


def _kmac(config: TrainConfig) -> float:
    network: nn.Module
    if config.task == "restorer":
        network = build_restorer(config.restorer)
    else:
        network = Detector(config.detector)
    return network_cost(network).macs_per_pixel / 1000


def _tried(job: _Job, study: "optuna.Study") -> tuple[Trial, ...]:
    return tuple(_trial(trial, job.space) for trial in study.get_trials(deepcopy=False))


def _trial(trial: "optuna.trial.FrozenTrial", space: Space) -> Trial:
    why = trial.user_attrs.get("why", "")
    states: dict[str, TrialState] = {
        "COMPLETE": "done",
        "PRUNED": "refused" if why else "pruned",
        "FAIL": "failed",
    }
    state = states.get(trial.state.name, "unfinished")
    score = None
    if trial.intermediate_values:
        score = round(max(trial.intermediate_values.values()), 5)
    values = {}
    for path, value in trial.params.items():
        values[path] = json.loads(value) if isinstance(space[path], list) else value
    return Trial(trial.number, state, score, trial.user_attrs.get("kmac"), values, why)


def _report(job: _Job, study: "optuna.Study", number: int) -> None:
    """Write what is known so far, each file in one step."""
    tried = _tried(job, study)
    trial = tried[number]
    best = best_of(tried)
    _LOG.info(
        "trial %d is %s, score %s: %s", number, trial.state, trial.score, trial.why or trial.values
    )
    write_trials(tried, job.space, job.out / "trials.csv")
    draw_trials(tried, job.space, job.out / "search.png")
    if best is not None:
        note = (
            f"# Trial {best.number} of a search, the best of {len(tried)}: "
            f"score {best.score:.5g}.\n"
        )
        toml = to_toml(with_values(job.config, best.values))
        write_whole(job.out / _BEST, (note + toml).encode())
