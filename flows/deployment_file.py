"""A deployment file (prefect.yaml) as typed objects, its variables filled in.

It is read here rather than by `prefect deploy`, because an unset variable in it has to be an error
before the night, not an empty source in it. So have a schedule that never comes, a parameter that
the flow does not have, and one that it misses.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from demoire.errors import ConfigError
from flows.settings import CleanSettings
from pipelines.storage.open import open_place

# The deployment that comes with the package, so that a schedule needs no file of the repository.
NIGHTLY = Path(__file__).with_name("nightly.yaml")

_VARIABLE = re.compile(r"\{\{\s*\$(\w+)\s*\}\}")
_DEFAULT = "nightly"  # the deployment that is meant where a file has several


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleConfig(_Part):
    """When: a cron line, or an interval in seconds."""

    cron: str | None = None
    interval: float | None = Field(default=None, ge=1)
    timezone: ZoneInfo = ZoneInfo("UTC")
    active: bool = True

    @model_validator(mode="after")
    def _has_one_time(self) -> Self:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("a schedule has either 'cron' or 'interval'")
        return self


class ConcurrencyLimit(_Part):
    """How many runs at once, and what becomes of one too many."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["CANCEL_NEW", "ENQUEUE"] = "CANCEL_NEW"


class WorkPool(_Part):
    """The pool whose workers run a deployment."""

    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = {}


class FlowParameters(_Part):
    """What the flow is called with, night by night."""

    src: str
    dst: str
    settings: CleanSettings = CleanSettings()


class DeploymentConfig(_Part):
    """One entry of `deployments:` in a prefect.yaml."""

    name: str
    entrypoint: Literal["flows/clean_archive.py:clean_archive"]
    description: str = ""
    tags: list[str] = []
    schedules: list[ScheduleConfig] = []
    concurrency_limit: ConcurrencyLimit | None = None
    parameters: FlowParameters
    work_pool: WorkPool | None = None


def read_deployment(file: Path, name: str | None = None) -> DeploymentConfig:
    """One deployment of a file, its `{{ $VARIABLE }}`s filled in.

    Args:
        file: A prefect.yaml.
        name: Which deployment; None: the only one, or the one called `nightly`.

    Raises:
        ConfigError: The file is missing or malformed, has no such deployment, or names a variable
            that is not set.
        UsageError: A place in it is of no known kind, or carries credentials.
    """
    deployments = _read_deployments(file)
    for deployment in deployments:
        for place in _places(deployment):
            # Checked before Prefect sees them, since it stores parameters in plain sight.
            open_place(place)
    if name is None:
        name = deployments[0].name if len(deployments) == 1 else _DEFAULT
    for deployment in deployments:
        if deployment.name == name:
            return deployment
    names = ", ".join(deployment.name for deployment in deployments)
    raise ConfigError(f"{file} has no deployment '{name}'; it has {names or 'none'}.")


def _read_deployments(file: Path) -> list[DeploymentConfig]:
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
        return [DeploymentConfig.model_validate(_filled(entry, file)) for entry in entries]
    except FileNotFoundError:
        raise ConfigError(
            f"There is no deployment file {file}; say with --file where it is."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{file} is wrong at '{key}': {first['msg']}.") from None
    except yaml.MarkedYAMLError as error:
        # Not the text of the error: it quotes the line, which may hold a secret.
        line = "some line"
        if error.problem_mark is not None:
            line = f"line {error.problem_mark.line + 1}"
        raise ConfigError(
            f"{file} is no Prefect deployment file: {error.problem} in {line}."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is no Prefect deployment file: {error}.") from error


def _places(deployment: DeploymentConfig) -> Iterator[str]:
    """The places that the parameters of a deployment name."""
    parameters = deployment.parameters
    yield parameters.src
    yield parameters.dst
    yield from parameters.settings.also
    if parameters.settings.registry is not None:
        yield parameters.settings.registry


def _filled(value: Any, file: Path) -> Any:
    """A value of the file, its variables replaced by what the environment has for them."""
    if isinstance(value, dict):
        return {key: _filled(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, file) for item in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _variable(match.group(1), file), value)
    return value


def _variable(name: str, file: Path) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"{file} needs the environment variable {name}, which is not set.")
    return value
