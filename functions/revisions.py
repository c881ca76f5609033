"""What a Cloud Run service is to look like: its revision on a GPU, and which revision gets how many of the requests.

Revisions have names that follow from what they run. A deployment that changes nothing of that keeps the revision, so
that one that has proven itself as a canary gets all requests without being started anew.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from google.cloud import run_v2

if TYPE_CHECKING:
    from shared.core.cloud_run import CloudRun

PORT: Final = 8080
TIMEOUT_SECONDS: Final = 900  # of a request: as long as a stream of the gateway's may last
OWNER: Final = "managed-by"
STACK: Final = "ai-nexus"
CONTENT: Final = "nexus-content"  # the digest of what the newest revision runs
_REVISION: Final = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


def described(wanted: CloudRun, existing: run_v2.Service | None, request: str) -> run_v2.Service:
    """Return the service as it shall be; `request` tells the names of two revisions with one content apart."""
    template = _template(wanted)
    content = hashlib.sha256(run_v2.RevisionTemplate.to_json(template, sort_keys=True).encode()).hexdigest()[:16]
    if existing and existing.labels.get(CONTENT) == content:
        template.revision = existing.template.revision
    else:
        told_apart = hashlib.sha256(request.encode()).hexdigest()[:4]
        template.revision = f"{wanted.name}-{content[:8]}{told_apart}"
    return run_v2.Service(
        name=wanted.place if existing else "",
        labels={OWNER: STACK, CONTENT: content},
        ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL,
        template=template,
        traffic=_traffic(wanted, existing, template.revision),
    )


def _template(wanted: CloudRun) -> run_v2.RevisionTemplate:
    limits = {"cpu": str(wanted.cpu), "memory": f"{wanted.memory_gib}Gi", "nvidia.com/gpu": "1"}
    own = {"GPU_SERVICE_AUTH": "platform", "DEVICE": "cuda"}
    container = run_v2.Container(
        image=wanted.image,
        env=[run_v2.EnvVar(name=name, value=value) for name, value in sorted({**own, **wanted.environment}.items())],
        ports=[run_v2.ContainerPort(container_port=PORT)],
        resources=run_v2.ResourceRequirements(limits=limits, cpu_idle=False, startup_cpu_boost=True),
        startup_probe=_probe("/health/ready", period=10, failures=24),  # 240 s, the most that Cloud Run waits
        liveness_probe=_probe("/health/live", period=30, failures=3),
    )
    return run_v2.RevisionTemplate(
        scaling=run_v2.RevisionScaling(min_instance_count=wanted.min, max_instance_count=wanted.max),
        timeout={"seconds": TIMEOUT_SECONDS},
        service_account=wanted.account,
        containers=[container],
        max_instance_request_concurrency=wanted.concurrency,
        node_selector=run_v2.NodeSelector(accelerator=wanted.gpu),
        gpu_zonal_redundancy_disabled=True,  # a spare GPU in another zone would cost more, and wait for nothing
    )


def _probe(path: str, *, period: int, failures: int) -> run_v2.Probe:
    return run_v2.Probe(
        http_get=run_v2.HTTPGetAction(path=path, port=PORT),
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def _traffic(wanted: CloudRun, existing: run_v2.Service | None, newest: str) -> list[run_v2.TrafficTarget]:
    """Give the newest revision all requests, or the canary's share of them."""
    proven = _proven(existing, newest) if existing and wanted.canary else ""
    if not proven:
        return [run_v2.TrafficTarget(type_=_REVISION, revision=newest, percent=100)]
    return [
        run_v2.TrafficTarget(type_=_REVISION, revision=proven, percent=100 - wanted.canary),
        run_v2.TrafficTarget(type_=_REVISION, revision=newest, percent=wanted.canary, tag="canary"),
    ]


def _proven(existing: run_v2.Service, newest: str) -> str:
    """Name the revision that has most of the requests now, beside the newest; "" if there is none."""
    shares = {target.revision: target.percent for target in existing.traffic if target.revision not in ("", newest)}
    return max(shares, key=shares.__getitem__, default="")
