"""Catalogs whose targets call the GPU service where a deployment puts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdk.bundle import ROOT

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


def catalog(folder: Path, more: str) -> Path:
    """Write the shipped catalog with `more` at its end."""
    path = folder / "catalog.toml"
    path.write_text((ROOT / "shared/data/catalog.toml").read_text() + more)
    return path
