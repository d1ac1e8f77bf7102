"""Commands for weights: train, search, weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from demoire.wording import plain_figure
from flows import console
from flows.commands import options
from flows.commands.flags import takes_settings
from flows.process import log_progress
from flows.settings import CleanSettings
from flows.storage_options import keep_storage_options

if TYPE_CHECKING:
    from demoire.training.search.trials import Trial
    from pipelines.training.registry import Registered, Registry

Images = Annotated[
    Path,
    typer.Option("--images", metavar="DIR", help="Clean images to simulate moiré on."),
]


@takes_settings("registry")
def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="TOML file, or a shipped name such as restorer.")
    ],
    *,
    images: Images,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="For checkpoints, curves and weights."),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in OUT.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Save and stop within so long; --resume goes on, on any machine."
        ),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Simulate beforehand into this folder, for several epochs or runs."
        ),
    ] = None,
    field: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Real pictures too; see docs/own-pictures.md."),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Which source of field pictures is in which part.",
            show_default="split.toml in --field",
        ),
    ] = None,
    register: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Evaluate on the test split, and register under this name what is better.",
        ),
    ] = None,
    settings: CleanSettings,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each kind to evaluate on.")] = 20,
    force: Annotated[
        bool, typer.Option("--force", help="Register what is no better than the newest too.")
    ] = False,
    prefect: Annotated[bool, typer.Option("--prefect", help="Run it as a Prefect flow.")] = False,
    storage_option: options.StorageOption = None,
) -> int:
    """Train a detector or a restorer on simulated moiré; OUT gets weights, figures and learning
    curve.

    With --register the weights can then be used by --weights NAME, if they are better than those of
    that name.
    """
    keep_storage_options(storage_option)
    log_progress()
    from demoire.training.field import FieldFolder
    from pipelines.training.job import TrainJob

    pictures = None if field is None else FieldFolder(field, split)
    job = TrainJob(
        config=config,
        images=images,
        out=out,
        resume=resume,
        shards=shards,
        register=register,
        registry=settings.registry,
        pairs=pairs,
        force=force,
        field=pictures,
        minutes=minutes,
    )
    if prefect:
        from flows.train_model import run_train_flow

        trained = run_train_flow(job)
    else:
        from pipelines.training.job import run_training

        trained = run_training(job)
    result = trained.result
    weights_file = result.weights or "none yet"
    score = plain_figure(result.score)
    typer.echo(f"weights: {weights_file}; step {result.step}, best score {score}")
    if not result.finished:
        console.remark("stopped before the end; the same command with --resume goes on")
    elif trained.contest is not None:
        typer.echo(trained.sentence())
    return 0


def search(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="TOML file with [search], or a shipped name.")
    ],
    *,
    images: Images,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="For best.toml, tables and the trials' runs."
        ),
    ],
    trials: Annotated[
        int, typer.Option(min=1, help="How many there shall be in OUT at the end.")
    ] = 20,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so long; the same command goes on.")
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Simulate beforehand into this folder, once for all trials."
        ),
    ] = None,
    max_kmac: Annotated[
        float | None, typer.Option(min=0, help="Refuse structures that cost more kMAC per pixel.")
    ] = None,
) -> int:
    """Try structures and rates by many short trainings; OUT gets the best configuration, for
    'demoire train'.
    """
    log_progress()
    from demoire.training.config_files import load_config
    from demoire.training.search.search import search as run

    outcome = run(
        load_config(config),
        images,
        out,
        trials=trials,
        minutes=minutes,
        shards=shards,
        max_kmac=max_kmac,
    )
    rows: list[Sequence[Any]] = []
    for trial in sorted(outcome.trials, key=_best_first):
        chosen = [_exact(trial.shown(path)) for path in outcome.space]
        rows.append((trial.number, trial.state, trial.score, trial.kmac, *chosen))
    columns = ("trial", "state", "score", "kMAC a pixel", *outcome.space)
    console.show_table("the trials, the best first", columns, rows)
    typer.echo(f"the best configuration is {outcome.config}")
    if not outcome.finished:
        console.remark("stopped before the end; the same command goes on")
    return 0


def _best_first(trial: "Trial") -> tuple[bool, float, int]:
    """Sorts finished trials before all others, and those by falling score."""
    unfinished = trial.state != "done"
    return unfinished, -(trial.score or 0), trial.number


def _exact(value: str | float | None) -> str | float | None:
    """A number with three digits wherever they stand, since rates span powers of ten."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return value


@takes_settings("registry")
def weights(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="All versions of this name alone.")
    ] = None,
    *,
    settings: CleanSettings,
    storage_option: options.StorageOption = None,
    as_json: options.AsJson = False,
) -> int:
    """List the weights that --weights takes: what is shipped, and the newest version of each
    registered name, with what it reached when it was registered.
    """
    keep_storage_options(storage_option)
    from pipelines.training.registry import Registry, score_text

    registry = Registry(settings.registry)
    versions = _newest_versions(registry) if name is None else _versions_of(registry, name)
    if as_json:
        console.emit_json(versions)
        return 0
    rows: list[Sequence[Any]] = []
    for version in versions:
        rows.append(
            (
                version.name,
                version.model,
                version.number or "shipped",
                version.digest[:12],
                score_text(version.model, version.score),
                version.registered_at or None,
            )
        )
    columns = ("name", "model", "version", "digest", "figure", "registered at")
    console.show_table(f"shipped, and registered in {registry.uri}", columns, rows)
    return 0


def _newest_versions(registry: "Registry") -> "list[Registered]":
    """What is shipped, then the newest version of each registered name."""
    from pipelines.training.registry import shipped

    versions = shipped()
    for name in registry.names():
        newest = registry.newest(name)
        if newest is not None:
            versions.append(newest)
    return versions


def _versions_of(registry: "Registry", name: str) -> "list[Registered]":
    """The shipped weights of this name, else all its registered versions."""
    from pipelines.training.registry import shipped

    named_so = [version for version in shipped() if version.name == name]
    return named_so or registry.versions(registry.find(name).name)


COMMANDS = (train, search, weights)
