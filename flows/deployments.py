"""`demoire serve` and `demoire deploy`: the nightly cleanup of flows/nightly.yaml, or another
deployment, on a Prefect server.

`serve` registers the deployment and runs what its schedule starts, from this process, until it is
stopped; without PREFECT_API_URL it brings up a local server first, on 127.0.0.1. `deploy` creates
the same deployment for a work pool and ends; a worker elsewhere runs it.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from demoire.errors import ConfigError, UsageError
from flows.deployment_file import DeploymentConfig
from pipelines.names import shown

if TYPE_CHECKING:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Schedule


def serve(deployment: DeploymentConfig, *, port: int) -> None:
    """Register the deployment and run what its schedule starts, until interrupted.

    Uses the server of PREFECT_API_URL, else starts one on 127.0.0.1:port and stops it at the end.

    Raises:
        UsageError: The port is taken, or the server does not answer.
        DemoireError: The server of its own does not come up.
    """
    from flows.server import local_server

    with local_server(port):
        from prefect import serve as serve_deployments

        # Else a line every ten seconds from when the next run is due until this one ends. Prefect's
        # import sets all levels anew.
        logging.getLogger("prefect.runner").setLevel(logging.WARNING)
        # On SIGTERM its runner forgets to await that, and ends all the same.
        warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never", RuntimeWarning)
        with _refusals_told():
            serve_deployments(as_prefect(deployment), limit=1)


def deploy(deployment: DeploymentConfig, *, pool: str | None) -> str:
    """Create (or update) the deployment on the server of PREFECT_API_URL for a work pool.

    Args:
        deployment: What to create.
        pool: Name of the work pool; None: that of the deployment. Made if there is none yet.

    Returns:
        The deployment's id.

    Raises:
        UsageError: No server is named, no pool is named, or the server does not answer.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise UsageError(
            "There is no Prefect server to deploy to; "
            "set PREFECT_API_URL, or use 'demoire serve' here."
        )
    if pool is None and deployment.work_pool is not None:
        pool = deployment.work_pool.name
    if pool is None:
        raise UsageError(
            f"The deployment '{deployment.name}' names no work pool; say which with --pool."
        )
    with _refusals_told():
        _make_pool(pool)
        prepared = as_prefect(deployment, pool=pool)
        return str(prepared.apply(work_pool_name=pool))


@contextmanager
def _refusals_told() -> Iterator[None]:
    """For the block: one sentence where the server does not answer, or answers with an error.

    Raises:
        UsageError: That sentence.
    """
    import httpx
    from prefect.exceptions import PrefectException

    try:
        yield
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
    """The deployment as Prefect's own object.

    It names the flow by its module, so the flow is found wherever demoire is installed.

    Args:
        deployment: What to create.
        pool: Name of the work pool it is for; None: it is run by this process.

    Raises:
        ConfigError: A line of its schedules is none of cron's.
    """
    from prefect.types.entrypoint import EntrypointType

    from flows.clean_archive import clean_archive

    queue: str | None = None
    job_variables: dict[str, Any] | None = None
    if pool is not None and deployment.work_pool is not None:
        queue = deployment.work_pool.work_queue_name
        job_variables = deployment.work_pool.job_variables
    parameters = deployment.parameters.model_dump(mode="json", exclude_unset=True)
    prepared = clean_archive.to_deployment(
        name=deployment.name,
        schedules=_schedules(deployment) or None,
        concurrency_limit=_concurrency_limit(deployment),
        parameters=parameters,
        description=deployment.description or None,
        tags=deployment.tags,
        entrypoint_type=EntrypointType.MODULE_PATH,
        work_pool_name=pool,
        work_queue_name=queue,
        job_variables=job_variables,
    )
    # A coroutine only where an event loop runs already, which is not so here.
    return cast("RunnerDeployment", prepared)


def _schedules(deployment: DeploymentConfig) -> "list[Schedule]":
    from prefect.schedules import Cron, Interval

    schedules: list[Schedule] = []
    for config in deployment.schedules:
        timezone = config.timezone.key
        if config.interval is not None:
            every = timedelta(seconds=config.interval)
            schedules.append(Interval(every, timezone=timezone, active=config.active))
            continue
        try:
            schedules.append(Cron(config.cron or "", timezone=timezone, active=config.active))
        except ValueError as error:
            raise ConfigError(f"The deployment '{deployment.name}' is wrong: {error}.") from None
    return schedules


def _concurrency_limit(deployment: DeploymentConfig) -> "ConcurrencyLimitConfig | None":
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy

    config = deployment.concurrency_limit
    if config is None:
        return None
    strategy = ConcurrencyLimitStrategy(config.collision_strategy)
    return ConcurrencyLimitConfig(limit=config.limit, collision_strategy=strategy)
