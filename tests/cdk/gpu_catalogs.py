"""Catalogs whose targets call the GPU service where a deployment puts it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cdk.bundle import BUILD, ROOT

if TYPE_CHECKING:
    from pathlib import Path

IMAGE: Final = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ml/gpu-service@sha256:" + "a1" * 32
ENDPOINT: Final = {"image": IMAGE, "instance_type": "ml.g5.xlarge", "mode": "realtime", "min": 1, "max": 3}
REALTIME: Final = """
[providers.ours]
dialect = "sagemaker"
base_url = "https://runtime.sagemaker.{region}.amazonaws.com"

[models.ours]
kind = "embedding"
targets = ["ours:ai-nexus-dev-gpu/all-MiniLM-L6-v2"]
owned_by = "us"
"""
ASYNC: Final = """
[providers.later]
dialect = "sagemaker-async"
base_url = "https://runtime.sagemaker.{region}.amazonaws.com"

[providers.later.storage]
input = "s3://our-bucket/requests"
output = "s3://our-bucket/answers"
failure = "s3://our-bucket/failures"

[models.ours]
kind = "embedding"
targets = ["later:ai-nexus-dev-gpu/all-MiniLM-L6-v2"]
owned_by = "us"
"""

CLOUD_RUN: Final = {
    "image": "europe-west4-docker.pkg.dev/our-project/nexus/gpu-service@sha256:" + "b2" * 32,
    "project": "our-project",
    "region": "europe-west4",
    "deployer": "nexus-deployer@our-project.iam.gserviceaccount.com",
    "service_account": "gpu-service@our-project.iam.gserviceaccount.com",
    "max": 2,
}
SERVICE: Final = """
[providers.run]
dialect = "openai"
base_url = "https://ai-nexus-dev-gpu-123456789.europe-west4.run.app/v1"

[providers.run.identity]
workload_identity_provider = "projects/123456789/locations/global/workloadIdentityPools/aws/providers/nexus"
service_account = "nexus-caller@our-project.iam.gserviceaccount.com"

[models.there]
kind = "embedding"
targets = ["run:all-MiniLM-L6-v2"]
owned_by = "us"
"""
_REST: Final = "".join(f"[tiers.{tier}]\n" for tier in ("free", "pro", "enterprise"))


def shared_catalog(name: str, content: str) -> Path:
    """Write a catalog of nothing but `content` where every worker's synthesis finds the same, and so is made once."""
    path = BUILD / "tests" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(_REST + content)
    scratch.replace(path)
    return path


def catalog(folder: Path, more: str) -> Path:
    """Write the shipped catalog with `more` at its end."""
    path = folder / "catalog.toml"
    path.write_text((ROOT / "shared/data/catalog.toml").read_text() + more)
    return path
