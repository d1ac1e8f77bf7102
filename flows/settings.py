"""What can be set for a run, checked once at the edge: flags and the file of `--config` become one
typed object.

The file is TOML with the very names of the flags (`max_megapixels = 200`); a flag wins over the
file. An unknown key or a value out of range is an error that names it, because a setting that is
silently ignored costs a night. Credentials are no settings: they stay in the environment, so that
none can end in a plan, a report or a Prefect parameter.
"""

import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from demoire.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from demoire.cleaning.config import CleanerConfig
    from pipelines.run import CleanJob

Gate = Literal["auto", "off"]


class CleanSettings(BaseModel):
    """All that a user can set for cleaning; the fields are the keys of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: Gate = "auto"
    threshold: float | None = Field(default=None, ge=0, le=1)
    detector: str = "detector"
    restorer: str = "restorer"
    # names, shipped or of the registry; each takes the place of the model that it is
    weights: tuple[str, ...] = ()
    registry: str | None = None  # None: that of DEMOIRE_REGISTRY, else this user's own
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    max_megapixels: float = Field(default=500, gt=0)
    max_side: int = Field(default=100_000, gt=0)
    threads: int = Field(default=0, ge=0)
    workers: int | None = Field(default=None, ge=1)
    # The cluster is a fact of the place where a run starts (a worker's container), so that place
    # may say it.
    ray_address: str | None = Field(
        default_factory=lambda: os.environ.get("DEMOIRE_RAY_ADDRESS") or None
    )
    sample: int | None = Field(default=None, ge=1)

    def cleaner_config(self) -> "CleanerConfig":
        """What these settings ask of a Cleaner; weights of the registry are fetched, and named by
        their local copy.

        Raises WeightsError for names that are not known, UsageError where two settings name one
        model.
        """
        from demoire.cleaning.config import CleanerConfig

        facts = self.model_dump(exclude={"workers", "ray_address", "sample", "weights", "registry"})
        return CleanerConfig(**facts | self._named_weights())

    def _named_weights(self) -> dict[str, Any]:
        if not self.weights:
            return {}
        from pipelines.training.registry import find_models

        found = find_models(self.weights, self.registry)
        for model in found:
            if getattr(self, model) != type(self).model_fields[model].default:
                raise UsageError(f"Both 'weights' and '{model}' name a {model}; give one of them.")
        return {str(model): name for model, name in found.items()}

    def clean_job(self, src: str, dst: str) -> "CleanJob":
        from pipelines.run import CleanJob

        return CleanJob(
            src, dst, self.cleaner_config(), self.workers, self.ray_address, self.sample
        )


def read_settings(file: Path | None, **flags: Any) -> CleanSettings:
    """The settings of `file` (TOML), overruled by the flags that are not None.

    Raises:
        ConfigError: the file is missing, no TOML, has an unknown key or a value out of range.
        UsageError: a flag's value is out of range.
    """
    from_file = _read_toml(file) if file is not None else {}
    if file is not None:
        _validate(from_file, ConfigError, lambda key: f"'{key}' in {file}")
    given = {key: value for key, value in flags.items() if value is not None}
    return _validate({**from_file, **given}, UsageError, lambda key: f"--{key.replace('_', '-')}")


def keep_storage_options(options: Sequence[str]) -> None:
    """Put `--storage-option KEY=VALUE` where the storage layer, and its workers on this machine,
    look for them.

    They may be credentials, so they travel in the environment and never as a parameter of a job or
    a flow.
    """
    if not options:
        return
    from setproctitle import setproctitle

    from pipelines.storage.options import STORAGE_OPTIONS, read_storage_options

    # the command line is read by whoever lists processes, and by Ray into its table of jobs
    setproctitle("demoire")
    kept = read_storage_options()
    for number, option in enumerate(options, start=1):
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--storage-option number {number} is not of the form KEY=VALUE, such as 'anon=true'."
            )
        kept[key] = _value(value)
    os.environ[STORAGE_OPTIONS] = json.dumps(kept)


def _value(text: str) -> Any:
    """What is JSON as JSON (true, 5, {...}), all else as text; text of digits only is written with
    double quotes.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


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


def _validate(values: dict[str, Any], kind: type[UsageError], name: Any) -> CleanSettings:
    try:
        return CleanSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(CleanSettings.model_fields)
            raise kind(f"Unknown setting {name(key)}; the settings are {known}.") from None
        if key == "device":
            raise kind(
                f"There is no device {first['input']!r}; {name(key)} is auto, cpu, cuda or cuda:N."
            ) from None
        message = first["msg"][0].lower() + first["msg"][1:]
        raise kind(
            f"The value {first['input']!r} of {name(key)} is out of place: {message}."
        ) from None
