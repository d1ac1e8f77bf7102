"""From training to use: simulate -> train -> evaluate -> register.

`run_training` is what `demoire train` does. Evaluation is on pairs of the test split, by a seed of
their own, which neither training nor its validation ever saw. The newest version that the registry
holds under the name is measured on the same pairs, and only what is better takes its place; what is
worse than doing nothing takes no place at all. A run that was cut goes on from its last checkpoint,
and one that had only to be registered measures anew and registers.

Each step is a function of small values, as in `pipelines.run`: `step` wraps every call, so that a
scheduler can make a task of each. OUT gets, beside what training leaves there:

    OUT/pairs                               the pairs
    OUT/evaluation.json, evaluation.html    what the weights reach on them
"""

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.threads import use_threads
from demoire.models.weights import Model, find_weights
from demoire.moire import KINDS
from demoire.simulate.pairs import LABELS, PairSet, clean_images, write_pairs
from demoire.training.checkpoint import check_out
from demoire.training.config_files import load_config
from demoire.training.field import FieldFolder
from demoire.training.inputs import check_inputs
from demoire.training.loop import TrainResult, fill_shards, train
from pipelines.evaluation.evaluate import evaluate_pairs
from pipelines.evaluation.figures import Evaluation
from pipelines.evaluation.page import evaluate_page
from pipelines.steps import Step, plainly
from pipelines.training.registry import SCORES, Registered, Registry, score_text

SEED = 20_000  # of the evaluation's pairs; training draws its own by [seed, number]
# What leaving the pictures alone reaches, and what guessing does.
LEAST: dict[Model, float] = {"restorer": 0.0, "detector": 0.5}

_LOG = logging.getLogger(__name__)

_SIZE = 512  # px
_LEAST_MINUTES = 1e-3


@dataclass(frozen=True)
class TrainJob:
    """What is to be trained, and what becomes of it.

    It holds no credentials: those stay in the environment.
    """

    config: str  # shipped name or TOML file
    images: Path  # clean ones
    out: Path
    resume: bool = False
    # folder of training pairs, filled first; None simulates while training
    shards: Path | None = None
    register: str | None = None  # name in the registry; None: neither evaluated nor registered
    registry: str | None = None  # folder or URL; None: see Registry
    pairs: int = 20  # of each kind, to evaluate on
    force: bool = False  # register what is no better, too
    field: FieldFolder | None = None  # real pictures
    minutes: float | None = None  # for all of it, instead of the configuration's for the training


@dataclass(frozen=True)
class Contest:
    """What the weights reach, beside the version they are to replace, on the same pairs."""

    figures: dict[str, Any]
    score: float
    to_beat: float  # the newest version's score, at least LEAST
    newest: Registered | None
    begun_from: float | None = None  # score of the weights that training began from, if any


@dataclass(frozen=True)
class Trained:
    """What a job came to."""

    result: TrainResult
    model: Model
    contest: Contest | None = None  # None unless it was finished, and is to be registered
    registered: Registered | None = None  # None too where the newest version is as good

    def sentence(self) -> str:
        """What became of the registration; '' where nobody asked for one."""
        if self.contest is None:
            return ""
        reached = f"{score_text(self.model, self.contest.score)} on pairs of the test split"
        if self.contest.begun_from is not None:
            before = score_text(self.model, self.contest.begun_from)
            reached += f", where the weights that it began from reach {before}"
        if self.registered is not None:
            return f"registered: {self.registered.reference}, {reached}"
        newest = self.contest.newest
        to_beat = score_text(self.model, self.contest.to_beat)
        if newest is not None:
            bound = f"no more than the {to_beat} of {newest.reference}"
        else:
            bound = f"no more than the {to_beat} of doing nothing"
        return f"not registered: {reached}, {bound}; --force registers it all the same"


def run_training(job: TrainJob, step: Step = plainly) -> Trained:
    """Do the job, or what is left of it.

    Args:
        job: What to do.
        step: Wraps every step, so that a scheduler can make a task of each.

    Raises:
        UsageError: What the user can put right; it is checked before anything is trained.
        DemoireError: What `train` raises.
    """
    began = time.monotonic()
    model = check_job(job)
    if job.shards is not None:
        step(simulate_shards)(job)
    if job.register is not None:
        step(simulate_pairs)(job)
    result = step(train_weights)(_with_time_left(job, began))
    if job.register is None or not result.finished or result.weights is None:
        return Trained(result, model)
    while True:
        contest = step(evaluate_weights)(job, result.weights)
        newest = contest.newest
        if newest is not None and newest.digest == find_weights(str(result.weights)).digest:
            return Trained(result, model, contest, newest)
        if not job.force and contest.score <= contest.to_beat:
            return Trained(result, model, contest)
        registered = step(register_weights)(job, result.weights, contest)
        if registered is not None:
            return Trained(result, model, contest, registered)
        # Someone else registered meanwhile, so what there is to be better than is another one.


def _with_time_left(job: TrainJob, began: float) -> TrainJob:
    """The job with what simulating has left of its minutes; one step is trained in any case."""
    if job.minutes is None:
        return job
    spent = (time.monotonic() - began) / 60
    return replace(job, minutes=max(_LEAST_MINUTES, job.minutes - spent))


def check_job(job: TrainJob) -> Model:
    """Check what would otherwise fail only after the night.

    That is the folder, what is trained on, the name, the registry, and the test split.

    Returns:
        Which model is trained.

    Raises:
        UsageError: Something has to be put right first.
        StorageError: The registry cannot be reached.
    """
    config = load_config(job.config)
    check_out(job.out, config, job.shards, resume=job.resume)
    check_inputs(config, job.images, job.field)
    if job.register is not None:
        Registry(job.registry).check_name(job.register, config.task)
        clean_images(job.images, "test")
    return config.task


# The steps


def simulate_shards(job: TrainJob) -> None:
    """Simulate the training pairs that the shards' folder lacks."""
    assert job.shards is not None
    fill_shards(job.shards, job.images, load_config(job.config))


def simulate_pairs(job: TrainJob) -> Path:
    """Simulate the pairs to evaluate on; their folder, which holds nothing else."""
    folder = job.out / "pairs"
    _LOG.info("simulating pairs to evaluate on, %d of each kind", job.pairs)
    for old in (*folder.glob(f"*_{SEED}_*.png"), folder / LABELS):
        old.unlink(missing_ok=True)
    for kind in KINDS:
        pairs = PairSet(kind, job.pairs, SEED, size=_SIZE, split="test")
        write_pairs(job.images, folder, pairs)
    return folder


def train_weights(job: TrainJob) -> TrainResult:
    """Train, or go on from the checkpoint in OUT; `check_job` has seen that it may be."""
    config = load_config(job.config)
    if job.minutes is not None:
        config = config.model_copy(update={"minutes": job.minutes})
    return train(config, job.images, job.out, resume=True, shards=job.shards, field=job.field)


def evaluate_weights(job: TrainJob, weights: Path) -> Contest:
    """Measure the weights and the version they are to replace on the same pairs.

    Figures and a page go into OUT.
    """
    assert job.register is not None
    registry = Registry(job.registry)
    newest = registry.newest(job.register)
    folder = job.out / "pairs"
    _LOG.info("measuring the weights on the pairs in %s", folder)
    cleaner = _cleaner(job, weights)
    evaluation = evaluate_pairs(folder, cleaner)
    evaluate_page(evaluation, folder, job.out / "evaluation.html", cleaner)
    document = json.dumps(evaluation.to_json(), indent=1)
    (job.out / "evaluation.json").write_text(document, encoding="utf-8")
    model = load_config(job.config).task
    figures = _figures(model, evaluation)
    to_beat = LEAST[model]
    if newest is not None:
        _LOG.info("measuring %s on the same pairs", newest.reference)
        to_beat = max(to_beat, _score_of(job, registry.fetch(newest)))
    start = load_config(job.config).start_from
    begun_from: float | None = None
    if start is not None:
        _LOG.info("measuring %s on the same pairs", start)
        begun_from = _score_of(job, find_weights(start).path)
    return Contest(figures, figures[SCORES[model]], to_beat, newest, begun_from)


def register_weights(job: TrainJob, weights: Path, contest: Contest) -> Registered | None:
    """Make the weights the newest version.

    Returns:
        The version; None where another one was registered since the evaluation.
    """
    assert job.register is not None
    pairs = {"seed": SEED, "a_kind": job.pairs, "size": _SIZE, "split": "test"}
    return Registry(job.registry).register(
        find_weights(str(weights)),
        job.register,
        after=contest.newest,
        training=load_config(job.config).model_dump(mode="json"),
        figures={**contest.figures, "pairs": pairs},
    )


def _score_of(job: TrainJob, weights: Path) -> float:
    """What other weights reach on the pairs."""
    model = load_config(job.config).task
    evaluation = evaluate_pairs(job.out / "pairs", _cleaner(job, weights))
    score: float = _figures(model, evaluation)[SCORES[model]]
    return score


def _cleaner(job: TrainJob, weights: Path) -> Cleaner:
    """A cleaner with these weights; a restorer gets every tile, whatever the detector says."""
    config = load_config(job.config)
    settings = CleanerConfig(device=config.device, threads=config.threads)
    use_threads(settings.threads)
    if config.task == "restorer":
        return Cleaner(replace(settings, restorer=str(weights), gate="off"))
    return Cleaner(replace(settings, detector=str(weights)))


def _figures(model: Model, evaluation: Evaluation) -> dict[str, Any]:
    """The figures of this model as JSON, which the registry keeps with its weights."""
    document = evaluation.to_json()
    if model == "restorer":
        assert evaluation.mean is not None, "training evaluates on pairs"
        return {
            "gain": evaluation.mean.gain,
            "n": len(evaluation.pairs),
            "mean": document["mean"],
            "kinds": document["kinds"],
        }
    figures: dict[str, Any] = dict(document["detector"])
    for name in ("threshold", "clean_touched", "confusion", "strengths", "calibration"):
        figures[name] = document[name]
    return figures
