"""Where the GPU service is to be deployed, as the `nexus:` keys of the CDK context ask for it: nowhere by default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from cdk.oidc import Strict
from shared.core import cloud_run

if TYPE_CHECKING:
    from shared.core.catalog import Identity

_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}$")
_ECR: Final = re.compile(r"^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9][a-z0-9._/-]*@")
_GPU_INSTANCE: Final = re.compile(r"^ml\.[gp]\d[a-z0-9-]*\.[a-z0-9]+$")
_TOO_OLD: Final = ("ml.p2.", "ml.p3.")  # CUDA 13 knows their GPUs no more
_ARTIFACT_REGISTRY: Final = re.compile(r"^[a-z0-9-]+-docker\.pkg\.dev/[a-z0-9-]+/[a-z0-9-]+/[a-z0-9][a-z0-9._/-]*@")
_OURS: Final = frozenset({"DEVICE", "GPU_SERVICE_AUTH", "GPU_SERVICE_HOST", "PORT", "SAGEMAKER_BIND_TO_PORT"})

Account = Annotated[str, Field(pattern=r"^[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com$")]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


def pinned(image: str) -> str:
    """Return an image's name.

    Raises:
        ValueError: it is not pinned: a tag can be moved, so that what was tried and what starts would differ.
    """
    if not _DIGEST.search(image):
        raise ValueError(
            "must name the image by its digest, as in '.../gpu-service@sha256:<64 digits>': a tag can move"
        )
    return image


class Container(Strict):
    """What SageMaker and Cloud Run are told of the service alike."""

    max: Annotated[int, Field(ge=1, le=100)] = 1
    """Instances, each with a GPU of its own, that there may be at a time: the ceiling of the bill."""

    concurrency: Annotated[int, Field(ge=1, le=250)] = 16
    """Requests at once that one instance is meant to have."""

    environment: dict[Variable, str] = Field(default_factory=dict)
    """Further settings of the container: `python -m gpu_service --help` lists them. Secrets do not belong here."""

    @field_validator("environment")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        if ours := sorted(_OURS & value.keys()):
            raise ValueError(f"{ours[0]} is set by the deployment; leave it out")
        return value


class GpuEndpoint(Container):
    """The service as an endpoint of SageMaker."""

    image: str
    """In a repository of ECR in the endpoint's own region, built with `FLAVOUR=cuda13` and `--target sagemaker`."""

    instance_type: str
    model_data: Annotated[str, Field(pattern=r"^s3://[a-z0-9.-]+/.+\.tar\.gz$")] | None = None
    """An archive that SageMaker unpacks into `/opt/ml/model`; None serves the models that are baked into the image."""

    mode: Literal["realtime", "async"]
    min: Annotated[int, Field(ge=0, le=100)]
    """Instances that there always are; with as many as `max` nothing scales."""

    startup_seconds: Annotated[int, Field(ge=60, le=3600)] = 600
    """Until the container must answer `/ping`: the weights are loaded and every shape is tried before."""

    @field_validator("image")
    @classmethod
    def _pinned_in_ecr(cls, value: str) -> str:
        if not _ECR.match(pinned(value)):
            raise ValueError("must lie in ECR, as '<account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:...'")
        return value

    @field_validator("instance_type")
    @classmethod
    def _with_gpu(cls, value: str) -> str:
        if not _GPU_INSTANCE.match(value) or value.startswith(_TOO_OLD):
            raise ValueError(f"{value!r} has no GPU that CUDA 13 knows; try 'ml.g5.xlarge' or 'ml.g6.xlarge'")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min == 0 and self.mode == "realtime":
            raise ValueError("min 0 is for mode 'async' alone: SageMaker keeps an instance of a real-time endpoint")
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


class CloudRun(Container):
    """The service at Cloud Run, on an NVIDIA L4."""

    image: str
    """In Artifact Registry, built with `FLAVOUR=cuda12`, or `cuda13` where the L4 machines have a driver for it."""

    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
    region: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\d+$")]
    deployer: Account
    """As whom the stack deploys: may administer Cloud Run, and use the next."""

    service_account: Account
    """As whom the container runs; it needs no role."""

    min: Annotated[int, Field(ge=0, le=100)] = 0
    """Instances that there always are, and are paid for."""

    cpu: Literal[4, 8] = 8
    memory_gib: Annotated[int, Field(ge=16, le=32)] = 32
    canary: Annotated[int, Field(ge=0, le=99)] = 0
    """Percent of the requests for a new revision, the rest staying with the last; 0 gives it all."""

    @field_validator("image")
    @classmethod
    def _pinned_at_google(cls, value: str) -> str:
        if not _ARTIFACT_REGISTRY.match(pinned(value)):
            raise ValueError("must lie in Artifact Registry, as '<region>-docker.pkg.dev/<project>/<repository>/...'")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self

    def deployed(self, name: str, identity: Identity) -> cloud_run.CloudRun:
        """Return the service called `name`, for callers that stand for `identity`."""
        same = self.model_dump(exclude={"service_account"})
        return cloud_run.CloudRun(
            name=name,
            pool=identity.workload_identity_provider,
            invoker=identity.service_account,
            account=self.service_account,
            **same,
        )
