"""Commands around the work: schedules and deployments, what is wrong with this installation, and
the demo.
"""

from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.commands import options
from flows.commands.flags import takes_settings
from flows.first_checks import check_models
from flows.settings import CleanSettings
from flows.storage_options import keep_storage_options

DeploymentFile = Annotated[
    Path | None,
    typer.Option("--file", help="A Prefect deployment file.", show_default="the nightly one"),
]
DeploymentName = Annotated[str | None, typer.Option("--name", help="Which of its deployments.")]

_SOMETHING_WRONG = 3  # exit status of `doctor`


@takes_settings("device")
def demo(
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the demo's files.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed draws another collection.")] = 1,
    settings: CleanSettings,
) -> int:
    """Draw a sample collection, clean it through the Prefect flow on a local Ray, and compare with
    the known truth.
    """
    check_models(settings)
    from flows.demo import run_demo

    run_demo(out, seed=seed, settings=settings)
    return 0


def serve(
    *,
    file: DeploymentFile = None,
    name: DeploymentName = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the local server, where one is started.")
    ] = 4200,
    storage_option: options.StorageOption = None,
) -> int:
    """Run the nightly cleanup on its schedule from here, on the Prefect server of PREFECT_API_URL
    or one of its own.
    """
    keep_storage_options(storage_option)
    from flows.deployment_file import NIGHTLY, read_deployment
    from flows.deployments import serve as run

    run(read_deployment(file or NIGHTLY, name), port=port)
    return 0


def deploy(
    *,
    file: DeploymentFile = None,
    name: DeploymentName = None,
    pool: Annotated[
        str | None, typer.Option(help="The work pool that runs it.", show_default="the file's")
    ] = None,
) -> int:
    """Create the nightly cleanup as a deployment for a work pool, on the Prefect server of
    PREFECT_API_URL.
    """
    from flows.deployment_file import NIGHTLY, read_deployment
    from flows.deployments import deploy as create

    deployment = read_deployment(file or NIGHTLY, name)
    identity = create(deployment, pool=pool)
    typer.echo(f"deployment clean-archive/{deployment.name} is in place, id {identity}")
    return 0


def doctor(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="PLACE", help="Folders or URLs to try.")
    ] = None,
    *,
    write: Annotated[bool, typer.Option("--write", help="Try to write to the places too.")] = False,
    storage_option: options.StorageOption = None,
    as_json: options.AsJson = False,
) -> int:
    """Versions, devices, weights, storage access: what is wrong, and what to do. Exit status 3 if
    anything is.
    """
    keep_storage_options(storage_option)
    from flows.doctor import examine

    checks = list(examine(places or (), write=write))
    if as_json:
        console.emit_json([check.to_json() for check in checks])
    else:
        for check in checks:
            verdict = "ok   " if check.ok else "WRONG"
            typer.echo(f"{verdict} {check.name}: {check.finding}")
            if check.way_out:
                typer.echo(f"      -> {check.way_out}")
    if all(check.ok for check in checks):
        return 0
    return _SOMETHING_WRONG


COMMANDS = (serve, deploy, doctor, demo)
