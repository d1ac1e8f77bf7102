"""Each file of infra/ parses, and agrees with the code: commands that exist, versions that are
pinned, no secrets.
"""

import re
import shlex
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError
from ray.scripts.scripts import cli as ray
from typer.main import get_command

from flows.app import app
from flows.deployment_file import NIGHTLY, read_deployment
from tests.infra.rayjob_form import RayJob

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"


def load(path: str) -> Any:
    return yaml.safe_load((INFRA / path).read_text(encoding="utf-8"))


def pinned(package: str) -> str:
    """Its version in constraints.txt."""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if canonicalize_name(name) == canonicalize_name(package):
            return version
    raise AssertionError(f"{package} is not in constraints.txt")


def check_command_line(words: list[str]) -> None:
    """The words after `demoire` name a command, and options that it has."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert words[0] in commands
    known = {option for parameter in commands[words[0]].params for option in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= known


def test_the_nightly_deployment_is_one_that_serve_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOIRE_SRC", "s3://archive/incoming")
    monkeypatch.setenv("DEMOIRE_DST", "s3://archive/clean")
    nightly = read_deployment(NIGHTLY)
    assert nightly.name == "nightly"
    assert nightly.schedules[0].cron == "30 1 * * *"
    assert nightly.parameters.src == "s3://archive/incoming"
    assert nightly.concurrency_limit is not None and nightly.concurrency_limit.limit == 1
    module, _, function = nightly.entrypoint.partition(":")
    assert f"def {function}(" in (ROOT / module).read_text(encoding="utf-8")


def test_compose_has_every_part_and_starts_them_in_an_order_that_exists() -> None:
    services = load("compose/compose.yaml")["services"]
    assert {"s3", "database", "prefect", "worker", "ray-head"} <= set(services)
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[other], (
                    f"{name} waits for the health of {other}, which has none"
                )
    check_command_line(services["deploy"]["command"])


def test_compose_starts_ray_by_options_that_it_has() -> None:
    services = load("compose/compose.yaml")["services"]
    _, _, then = services["worker"]["command"][0].partition("TERM;")
    join, _, _ = then.partition("&")
    lines = [
        services["ray-head"]["entrypoint"],
        services["ray-head"]["healthcheck"]["test"][1:],
        shlex.split(join),
    ]
    for program, name, *words in lines:
        assert program == "ray"
        known = {option for parameter in ray.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_compose_sets_variables_that_prefect_knows() -> None:
    services = load("compose/compose.yaml")["services"]
    variables = {name for one in services.values() for name in one.get("environment", {})}
    ours = {name for name in variables if name.startswith("PREFECT_")}
    assert ours
    for name in ours:
        assert hasattr(prefect.settings, name), name


def test_compose_builds_the_dockerfile_with_an_argument_it_has() -> None:
    build = load("compose/compose.yaml")["services"]["worker"]["build"]
    dockerfile = (INFRA / "compose" / build["context"] / build["dockerfile"]).resolve()
    assert dockerfile == INFRA / "docker/Dockerfile"
    assert set(build["args"]) <= set(re.findall(r"^ARG (\w+)", dockerfile.read_text(), flags=re.M))


def test_dockerfile_copies_what_exists_and_ends_as_a_plain_user() -> None:
    text = (INFRA / "docker/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if re.match(r"^[A-Z]+ ", line)]
    for _, rest in (step for step in steps if step[0] == "COPY"):
        if "--from=" in rest:
            continue
        sources = [word for word in shlex.split(rest) if not word.startswith("--")][:-1]
        assert sources and all((ROOT / source).exists() for source in sources), rest
    assert [rest for step, rest in steps if step == "USER"][-1] != "root"
    assert [rest for step, rest in steps if step == "ENTRYPOINT"] == ['["demoire"]']


def test_the_image_has_what_kuberay_calls() -> None:
    """The job server comes with an extra; a login shell, which sets PATH anew, finds `ray`."""
    text = (INFRA / "docker/Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^RUN pip install .*'\.\[cluster\]'", text, flags=re.M)
    links = re.search(r"^RUN ln -s (.*) /usr/local/bin/$", text, flags=re.M)
    assert links is not None
    assert {Path(link).name for link in links.group(1).split()} == {"demoire", "ray"}


def test_what_the_job_server_needs_is_pinned() -> None:
    extra = [Requirement(text) for text in requires("ray") or [] if 'extra == "default"' in text]
    assert extra
    for requirement in extra:
        if requirement.marker is None or requirement.marker.evaluate({"extra": "default"}):
            assert requirement.specifier.contains(pinned(requirement.name), prereleases=True)


def test_rayjob_has_the_form_that_kuberay_takes() -> None:
    RayJob.model_validate(load("kuberay/rayjob.yaml"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.entrypoints", "demoire"),
        ("spec.rayClusterSpec.autoscalerOptions.upscalingMode", "Fast"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.backoffLimit", "2"),
        ("spec.activeDeadlineSeconds", 1 << 31),
        (
            "spec.rayClusterSpec.autoscalerOptions.resources",
            {"requests": {"memory": "8GB"}, "limits": {}},
        ),
    ],
)
def test_a_rayjob_with_a_mistake_has_not(path: str, value: object) -> None:
    job = load("kuberay/rayjob.yaml")
    *parents, last = path.split(".")
    part = job
    for name in parents:
        part = part[name]
    part[last] = value
    with pytest.raises(ValidationError):
        RayJob.model_validate(job)


def test_rayjob_runs_a_real_command_on_the_pinned_ray() -> None:
    spec = RayJob.model_validate(load("kuberay/rayjob.yaml")).spec
    words = shlex.split(spec.entrypoint)
    assert words[0] == "demoire"
    check_command_line(words[1:])
    assert spec.ray_cluster_spec.ray_version == pinned("ray")


def test_rayjob_grows_from_a_head_that_only_plans_to_as_many_gpus_as_the_command_asks_for() -> None:
    spec = RayJob.model_validate(load("kuberay/rayjob.yaml")).spec
    cluster = spec.ray_cluster_spec
    assert cluster.enable_in_tree_autoscaling
    assert cluster.head_group_spec.ray_start_params["num-cpus"] == "0"
    groups = {group.group_name: group for group in cluster.worker_group_specs}
    assert set(groups) == {"cpu", "gpu"}
    for name, group in groups.items():
        assert (group.replicas, group.min_replicas) == (0, 0)
        (container,) = group.template.spec.containers
        assert ("nvidia.com/gpu" in container.resources.limits) == (name == "gpu")
    words = shlex.split(spec.entrypoint)
    assert int(words[words.index("--gpus") + 1]) == groups["gpu"].max_replicas


@pytest.mark.parametrize("file", sorted(INFRA.rglob("*.y*ml")), ids=lambda file: file.name)
def test_no_secret_is_written_down(file: Path) -> None:
    """Whatever is named like a secret is taken from the environment or from a Kubernetes secret."""
    for match in re.finditer(
        r"(?im)^\s*\S*(secret_access_key|password|token)\S*:\s*(\S.*)$", file.read_text()
    ):
        assert match.group(2).startswith("${"), match.group(0)


def test_the_hooks_before_a_commit_are_those_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, flags=re.M)
    assert recipe
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    assert [hook["entry"] for hook in hooks] == commands
