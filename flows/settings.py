"""What a user can set for a run: one model, from which everything else follows.

`CleanSettings` says of each setting its name, type, range, default and help. The flags of the
commands (`flows.commands.flags`), the keys of the configuration file and the `settings` parameter
of the Prefect flow are all made from it; the defaults are those of `CleanerConfig`.

The file is TOML with the very names of the flags (`max_megapixels = 200`); a flag wins over the
file. An unknown key or a value out of range is an error that names it, because a setting that is
silently ignored costs a night. Credentials are no settings: they stay in the environment, so that
none can end in a plan, a report or a Prefect parameter.
"""

import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from demoire.cleaning.config import Bilevel, CleanerConfig, Gate
from demoire.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pipelines.job import CleanJob

_OF_THE_JOB = {"workers", "gpus", "ray_address", "sample", "stall_minutes", "merge", "fixity"}
_OF_THE_JOB |= {"also", "from_file", "prune"}
_NOT_OF_THE_CLEANER = _OF_THE_JOB | {"weights", "registry"}


@dataclass(frozen=True)
class Flag:
    """How a setting appears on the command line.

    Attributes:
        help: What the setting does, as one sentence.
        metavar: What stands for the value in the help; None: the name of its type.
        default: What the help says of the default; None: the default itself, "": nothing.
    """

    help: str
    metavar: str | None = None
    default: str | None = None


def _ray_address_here() -> str | None:
    """The cluster is a fact of the machine that starts a run, so its environment may name it."""
    return os.environ.get("DEMOIRE_RAY_ADDRESS") or None


class CleanSettings(BaseModel):
    """All that a user can set for cleaning; the fields are the keys of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: Annotated[Gate, Flag("'off' restores every tile, moiré or not.")] = CleanerConfig.gate
    threshold: Annotated[
        float | None,
        Field(ge=0, le=1),
        Flag("Probability from which an image has moiré.", default="the weights' own"),
    ] = CleanerConfig.threshold
    detector: Annotated[
        str,
        Flag("Weights of the detector.", metavar="NAME|FILE", default=""),
    ] = CleanerConfig.detector
    restorer: Annotated[
        str,
        Flag("Weights of the restorer, or a checkpoint (.pth).", metavar="NAME|FILE", default=""),
    ] = CleanerConfig.restorer
    weights: Annotated[
        tuple[str, ...],
        Flag(
            "Registered or shipped weights; once for each of the two models.",
            metavar="NAME[@DIGEST]",
            default="",
        ),
    ] = ()
    registry: Annotated[
        str | None,
        Flag(
            "Where registered weights are.",
            metavar="DIR|URL",
            default="DEMOIRE_REGISTRY, or your own",
        ),
    ] = None
    device: Annotated[
        str,
        Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$"),
        Flag("auto, cpu, cuda or cuda:N."),
    ] = CleanerConfig.device
    max_megapixels: Annotated[
        float,
        Field(gt=0),
        Flag("Larger images are quarantined."),
    ] = CleanerConfig.max_megapixels
    max_side: Annotated[
        int,
        Field(gt=0),
        Flag("Longer images (px) are quarantined."),
    ] = CleanerConfig.max_side
    allow_signed: Annotated[
        bool,
        Flag("Clean signed pictures (C2PA) too, without their manifest.", default=""),
    ] = CleanerConfig.allow_signed
    provenance: Annotated[
        bool,
        Flag("Do not note in the XMP of cleaned files what changed them, and when.", default=""),
    ] = CleanerConfig.provenance
    bilevel: Annotated[Bilevel, Flag("'grey' puts a grey one beside 1-bit pictures.")] = "copy"
    office: Annotated[
        bool,
        Flag("Clean the pictures in office documents too (.docx, .odt and the like).", default=""),
    ] = CleanerConfig.office
    rewrite: Annotated[bool, Flag("Write PDFs anew, without old pictures.", default="")] = False
    threads: Annotated[
        int,
        Field(ge=0),
        Flag("Threads of the models on a CPU; 0: all there are."),
    ] = CleanerConfig.threads
    workers: Annotated[
        int | None,
        Field(ge=1),
        Flag("Cleaning processes.", default="one for four cores, at least one a GPU"),
    ] = None
    gpus: Annotated[
        int | None,
        Field(ge=1),
        Flag("GPUs to ask a cluster for, whether they are there yet or not.", default=""),
    ] = None
    ray_address: Annotated[
        str | None,
        Flag("A running Ray cluster to work on.", metavar="HOST:PORT|auto", default=""),
    ] = Field(default_factory=_ray_address_here)
    sample: Annotated[
        int | None,
        Field(ge=1),
        Flag("Only about this many images, drawn evenly.", default=""),
    ] = None

    stall_minutes: Annotated[
        float,
        Field(gt=0),
        Flag("Minutes without a finished image after which the work is begun anew."),
    ] = 30.0

    merge: Annotated[
        bool,
        Flag("Accept a DST that holds other things; none is ever replaced.", default=""),
    ] = False
    fixity: Annotated[
        Literal["report", "update"],
        Flag("Name checksums in the archive that turn wrong, or update them in the mirror."),
    ] = "report"
    also: Annotated[
        tuple[str, ...],
        Flag(
            "A further SRC, which lies in DST under its last name; may be given several times.",
            metavar="SRC",
            default="",
        ),
    ] = ()
    from_file: Annotated[
        str | None,
        Flag("Further SRCs, one a line; - reads them from stdin.", metavar="LIST", default=""),
    ] = None
    prune: Annotated[
        bool,
        Flag("Remove from the mirror what has left SRC.", default=""),
    ] = False

    @cached_property
    def further_sources(self) -> tuple[str, ...]:
        """The SRCs of `also`, then those of the list, which is read once; see `_listed`."""
        return self.also + _listed(self.from_file)

    @property
    def changes_cleaning(self) -> bool:
        """Whether anything is set that decides how an image comes out."""
        of_the_job = _NOT_OF_THE_CLEANER - {"weights"}
        return bool(self.model_fields_set - of_the_job)

    def cleaner_config(self) -> CleanerConfig:
        """What these settings ask of a Cleaner.

        Weights of the registry are fetched, and named by their local copy.

        Raises:
            WeightsError: A name is not known.
            UsageError: Two settings name one model.
        """
        facts = self.model_dump(exclude=_NOT_OF_THE_CLEANER)
        return CleanerConfig(**facts | _named_weights(self))

    def clean_job(self, src: str, dst: str) -> "CleanJob":
        """The job of cleaning `src` into `dst` by these settings.

        Raises:
            UsageError: Two of them contradict each other.
        """
        return _clean_job(self, src, dst)


def check_gpus(settings: CleanSettings) -> None:
    """Check that GPUs are not both asked for and left idle.

    Raises:
        UsageError: They are.
    """
    if settings.gpus is not None and settings.device == "cpu":
        raise UsageError("--gpus asks for what --device cpu leaves idle: give one of them.")


def _clean_job(settings: CleanSettings, src: str, dst: str) -> "CleanJob":
    from pipelines.job import CleanJob

    check_gpus(settings)
    return CleanJob(
        src=src,
        dst=dst,
        config=settings.cleaner_config(),
        workers=settings.workers,
        gpus=settings.gpus,
        ray_address=settings.ray_address,
        sample=settings.sample,
        stall_minutes=settings.stall_minutes,
        merge=settings.merge,
        fixity=settings.fixity,
        also=settings.further_sources,
        prune=settings.prune,
    )


def _named_weights(settings: CleanSettings) -> dict[str, str]:
    """The weights that `weights` names, by the model that each of them is."""
    if not settings.weights:
        return {}
    from pipelines.training.registry import find_models

    models: dict[str, str] = {}
    for model, name in find_models(settings.weights, settings.registry).items():
        if getattr(settings, model) != type(settings).model_fields[model].default:
            raise UsageError(f"Both 'weights' and '{model}' name a {model}; give one of them.")
        models[model] = name
    return models


def _listed(name: str | None) -> tuple[str, ...]:
    """The SRCs that a list names, one a line; '-' is standard input.

    Raises:
        UsageError: The list cannot be read, or names nothing.
    """
    if name is None:
        return ()
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(
            f"The list {name} cannot be read ({error.strerror}): check the path given to "
            "--from-file."
        ) from None
    # A name may hold any other kind of line break.
    lines = os.fsdecode(text).replace("\r\n", "\n").split("\n")
    listed = tuple(line for line in lines if line.strip())
    if not listed:
        raise UsageError(f"The list {name} names no SRC: write one a line.")
    return listed


def read_settings(file: Path | None, **flags: Any) -> CleanSettings:
    """The settings of a TOML file, overruled by the flags that are not None.

    Raises:
        ConfigError: The file is missing, is no TOML, or has an unknown key or a value out of range.
        UsageError: A flag's value is out of range.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values = _read_toml(file)
        _validate(values, ConfigError, lambda key: f"'{key}' in {file}")
    given = {name: value for name, value in flags.items() if value is not None}
    return _validate(values | given, UsageError, lambda key: f"--{key.replace('_', '-')}")


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"The configuration file {file} does not exist; check the path given to --config."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {file} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The configuration file {file} is not valid TOML: {error}.") from error


def _validate(
    values: dict[str, Any], error_class: type[UsageError], name: Callable[[str], str]
) -> CleanSettings:
    """The settings with these values; the first thing wrong with them as an error of one sentence.

    Args:
        values: Settings by their names.
        error_class: What to raise.
        name: Turns the name of a setting into what the user has typed.
    """
    try:
        return CleanSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise error_class(_sentence(first, name)) from None


def _sentence(wrong: ErrorDetails, name: Callable[[str], str]) -> str:
    key = ".".join(str(part) for part in wrong["loc"])
    if wrong["type"] == "extra_forbidden":
        known = ", ".join(CleanSettings.model_fields)
        return f"Unknown setting {name(key)}; the settings are {known}."
    if key == "device":
        return f"There is no device {wrong['input']!r}; {name(key)} is auto, cpu, cuda or cuda:N."
    message = wrong["msg"][0].lower() + wrong["msg"][1:]
    return f"The value {wrong['input']!r} of {name(key)} is out of place: {message}."
