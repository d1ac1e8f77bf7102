"""`demoire serve` and `demoire deploy`: the nightly cleanup of infra/prefect/prefect.yaml on a
Prefect server.

`serve` registers the deployment and runs what its schedule starts, from this process, until it is
stopped; without PREFECT_API_URL it brings up a local server first, on 127.0.0.1. `deploy` creates
the same deployment for a work pool and ends; a worker elsewhere runs it. One deployment file serves
both, and is read here rather than by `prefect deploy` because an unset variable in it has to be an
error before the night, not an empty source in it.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from demoire.errors import ConfigError, UsageError
from pipelines.names import shown
from pipelines.storage.open import open_place

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

_VARIABLE = re.compile(r"\{\{\s*\$(\w+)\s*\}\}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleConfig(_Part):
    """When: a cron line, or an interval in seconds."""

    cron: str | None = None
    interval: float | None = Field(default=None, gt=0)
    timezone: str = "UTC"
    active: bool = True


class ConcurrencyLimit(_Part):
    """How many runs at once, and what becomes of one too many."""

    limit: int = Field(ge=1)
    collision_strategy: str = "CANCEL_NEW"


class WorkPool(_Part):
    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = {}


class DeploymentConfig(_Part):
    """One entry of `deployments:` in a prefect.yaml."""

    name: str
    entrypoint: str
    description: str = ""
    tags: list[str] = []
    schedules: list[ScheduleConfig] = []
    concurrency_limit: ConcurrencyLimit | None = None
    parameters: dict[str, Any] = {}
    work_pool: WorkPool | None = None


def read_deployment(file: Path, name: str | None = None) -> DeploymentConfig:
    """The deployment of that name (default: the only one, or `nightly`), its `{{ $VARIABLE }}`s
    filled in.

    Raises:
        ConfigError: the file is missing or malformed, has no such deployment, or names a variable
        that is not set. UsageError: a place in it is of no known kind, or carries credentials.
    """
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
        found = [DeploymentConfig.model_validate(_filled(entry, file)) for entry in entries]
    except FileNotFoundError:
        raise ConfigError(
            f"There is no deployment file {file}; say with --file where it is."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{file} is wrong at '{place}': {first['msg']}.") from None
    except yaml.MarkedYAMLError as error:  # its text quotes the line, which may hold a secret
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else "some line"
        raise ConfigError(
            f"{file} is no Prefect deployment file: {error.problem} in {line}."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is no Prefect deployment file: {error}.") from error
    for deployment in found:
        settings = deployment.parameters.get("settings") or {}
        for target in (
            *(deployment.parameters.get(key) for key in ("src", "dst")),
            settings.get("registry"),
        ):
            if isinstance(target, str):  # Prefect stores parameters in plain sight
                open_place(target)
    wanted = name or (found[0].name if len(found) == 1 else "nightly")
    for deployment in found:
        if deployment.name == wanted:
            return deployment
    names = ", ".join(deployment.name for deployment in found)
    raise ConfigError(f"{file} has no deployment '{wanted}'; it has {names or 'none'}.")


def _filled(value: Any, file: Path) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, file) for item in value]
    return (
        _VARIABLE.sub(lambda match: _variable(match.group(1), file), value)
        if isinstance(value, str)
        else value
    )


def _variable(name: str, file: Path) -> str:
    if not os.environ.get(name):
        raise ConfigError(f"{file} needs the environment variable {name}, which is not set.")
    return os.environ[name]


def serve(deployment: DeploymentConfig, *, port: int) -> None:
    """Register the deployment and run what its schedule starts, until interrupted.

    Uses the server of PREFECT_API_URL, else starts one on 127.0.0.1:port and stops it at the end.
    """
    from flows.server import local_server

    with local_server(port):
        from prefect import serve as serve_deployments

        serve_deployments(as_prefect(deployment), limit=1)


def deploy(deployment: DeploymentConfig, *, pool: str | None) -> str:
    """Create (or update) the deployment on the server of PREFECT_API_URL for a work pool; returns
    its id.

    Raises:
        UsageError: no server is named, no pool is named, or the server does not answer.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise UsageError(
            "There is no Prefect server to deploy to; set PREFECT_API_URL, or use 'demoire serve' here."
        )
    name = pool or (deployment.work_pool.name if deployment.work_pool else None)
    if name is None:
        raise UsageError(
            f"The deployment '{deployment.name}' names no work pool; say which with --pool."
        )
    import httpx
    from prefect.exceptions import PrefectException

    try:
        _make_pool(name)
        prepared = as_prefect(deployment, pool=name)
        return str(prepared.apply(work_pool_name=name))
    except (httpx.HTTPError, PrefectException) as error:
        address = shown(os.environ["PREFECT_API_URL"])
        raise UsageError(
            f"The Prefect server at {address} did not take the deployment: {error}."
        ) from error


def _make_pool(name: str) -> None:
    """The work pool, made as one of local processes where there is none of that name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def as_prefect(deployment: DeploymentConfig, *, pool: str | None = None) -> "RunnerDeployment":
    """The deployment as Prefect's own object, which finds the flow by its module wherever demoire
    is installed.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron, Interval, Schedule
    from prefect.types.entrypoint import EntrypointType

    from flows.clean_archive import clean_archive

    schedules: list[Schedule] = []
    for schedule in deployment.schedules:
        if schedule.cron:
            schedules.append(
                Cron(schedule.cron, timezone=schedule.timezone, active=schedule.active)
            )
        elif schedule.interval:
            every = timedelta(seconds=schedule.interval)
            schedules.append(Interval(every, timezone=schedule.timezone, active=schedule.active))
    limit = None
    if deployment.concurrency_limit is not None:
        strategy = ConcurrencyLimitStrategy(deployment.concurrency_limit.collision_strategy)
        limit = ConcurrencyLimitConfig(
            limit=deployment.concurrency_limit.limit, collision_strategy=strategy
        )
    made = clean_archive.to_deployment(
        name=deployment.name,
        schedules=schedules or None,
        concurrency_limit=limit,
        parameters=deployment.parameters,
        description=deployment.description or None,
        tags=deployment.tags,
        entrypoint_type=EntrypointType.MODULE_PATH,
        work_pool_name=pool,
        work_queue_name=deployment.work_pool.work_queue_name
        if pool and deployment.work_pool
        else None,
        job_variables=deployment.work_pool.job_variables if pool and deployment.work_pool else None,
    )
    return cast("RunnerDeployment", made)  # a coroutine only where an event loop runs already
