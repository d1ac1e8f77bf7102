"""What a RayJob may hold, by KubeRay's definition `rayjobs.ray.io`, version v1.

Fields, types, enumerations and bounds are those of the definition that KubeRay generates for its
operator (its chart's `crds/ray.io_rayjobs.yaml`, `spec.versions` v1) and of the Go types behind it
(`apis/ray/v1`); `SidecarMode` and `version` are in the API reference of newer ones only. One that
it does not know is an error here, as `kubectl --validate=strict` has it. Of the definition's 1.2 MB
nearly all is a pod's own form, which is Kubernetes': only what our pods use is written down.
The pods were held against all of that by kubernetes-validate 1.37 (a Pod made of each template,
strictly, for Kubernetes 1.25, 1.31 and 1.35); its 72 MB of schemas are too much for one test.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic.alias_generators import to_camel

# Cores or bytes: a number with a binary or decimal suffix, or an exponent.
_SUFFIX = r"([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+(\.[0-9]*)?)?"
_Quantity = (
    StrictInt
    | Annotated[StrictStr, Field(pattern=rf"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+){_SUFFIX}$")]
)
_INT32 = 1 << 31


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class SecretReference(_Form):
    name: StrictStr


class EnvironmentFrom(_Form):
    secret_ref: SecretReference


class Port(_Form):
    container_port: int = Field(gt=0, lt=65536, strict=True)
    name: str = Field(max_length=15, pattern=r"^[a-z0-9-]+$")


class Resources(_Form):
    requests: dict[str, _Quantity]
    limits: dict[str, _Quantity]


class Container(_Form):
    name: StrictStr
    image: StrictStr
    env_from: list[EnvironmentFrom]
    ports: list[Port] = []
    resources: Resources


class Toleration(_Form):
    key: StrictStr
    operator: Literal["Exists", "Equal"]
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class PodSpec(_Form):
    containers: list[Container] = Field(min_length=1)
    tolerations: list[Toleration] = []


class PodTemplate(_Form):
    spec: PodSpec


class HeadGroup(_Form):
    ray_start_params: dict[StrictStr, StrictStr]
    template: PodTemplate


class WorkerGroup(_Form):
    group_name: StrictStr
    replicas: int = Field(ge=0, lt=_INT32, strict=True)
    min_replicas: int = Field(ge=0, lt=_INT32, strict=True)
    max_replicas: int = Field(ge=1, lt=_INT32, strict=True)
    num_of_hosts: int = Field(default=1, ge=1, strict=True)
    idle_timeout_seconds: StrictInt | None = None
    ray_start_params: dict[StrictStr, StrictStr]
    template: PodTemplate


class AutoscalerOptions(_Form):
    idle_timeout_seconds: StrictInt | None = None
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"] | None = None
    version: Literal["v1", "v2"] | None = None
    image: StrictStr | None = None
    resources: Resources | None = None


class RayCluster(_Form):
    ray_version: StrictStr
    enable_in_tree_autoscaling: StrictBool
    autoscaler_options: AutoscalerOptions | None = None
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class RayJobSpec(_Form):
    entrypoint: StrictStr
    entrypoint_num_cpus: float | None = None
    entrypoint_num_gpus: float | None = None
    entrypoint_resources: StrictStr | None = None
    runtime_env_yaml: StrictStr | None = Field(default=None, alias="runtimeEnvYAML")
    job_id: StrictStr | None = None
    submission_mode: Literal["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]
    backoff_limit: int = Field(default=0, ge=0, strict=True)
    active_deadline_seconds: int | None = Field(default=None, gt=0, lt=_INT32, strict=True)
    ttl_seconds_after_finished: int = Field(default=0, ge=0, lt=_INT32, strict=True)
    shutdown_after_job_finishes: StrictBool
    suspend: StrictBool = False
    cluster_selector: dict[StrictStr, StrictStr] | None = None
    ray_cluster_spec: RayCluster


class Metadata(_Form):
    name: str = Field(max_length=47, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    labels: dict[StrictStr, StrictStr] = {}
    annotations: dict[StrictStr, StrictStr] = {}


class RayJob(_Form):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: RayJobSpec
