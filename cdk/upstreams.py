"""What of AWS the catalog's targets are, so that the gateway may call these and nothing else: models and endpoints.

A target's model is how Bedrock or SageMaker knows it. A Bedrock inference profile (`us.`, `eu.`, `global.` and so on)
stands for one model in several regions, chosen by AWS: the model must be allowed in all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, Stack

from shared.core.catalog import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from constructs import Construct

    from shared import manifest
    from shared.core.catalog import Target

ANYWHERE: Final = (
    "An inference profile has AWS choose the region for each request, so its one model must be allowed in every region."
)
_PROFILE = re.compile(r"^(?:us|us-gov|eu|apac|au|ca|jp|global)\.")


def upstreams(catalog: bytes) -> dict[manifest.Resource, list[str]]:
    """Return the ARNs of what the targets of a compiled catalog are, by the manifest's resource."""
    known = decode(catalog)
    found: dict[manifest.Resource, set[str]] = {"bedrock": set(), "sagemaker": set()}
    for model in known.models.values():
        for target in model.targets:
            provider = known.providers[target.provider]
            if provider.dialect == "bedrock" and not provider.secret:
                found["bedrock"].update(_models(target))
            if provider.dialect == "sagemaker":
                found["sagemaker"].add(_endpoint(target))
    return {resource: sorted(arns) for resource, arns in found.items()}


def roaming(scope: Construct, arns: Iterable[str]) -> dict[str, str]:
    """Return cdk-nag's rules that ARNs in every region break, each with the reason why they may."""
    found = [Stack.of(scope).resolve(arn)["Fn::Join"][1] for arn in arns if ":*:" in arn]
    plain = ["".join(f"<{part['Ref']}>" if isinstance(part, dict) else part for part in parts) for parts in found]
    return {f"AwsSolutions-IAM5[Resource::{arn}]": ANYWHERE for arn in plain}


def _models(target: Target) -> Iterator[str]:
    if target.model.startswith("arn:"):
        yield target.model
        return
    start, region = f"arn:{Aws.PARTITION}:bedrock", target.region or Aws.REGION
    model = _PROFILE.sub("", target.model)
    if model == target.model:
        yield f"{start}:{region}::foundation-model/{model}"
        return
    yield f"{start}:{region}:{Aws.ACCOUNT_ID}:inference-profile/{target.model}"
    yield f"{start}:*::foundation-model/{model}"


def _endpoint(target: Target) -> str:
    name = target.model.partition("/")[0].lower()
    return f"arn:{Aws.PARTITION}:sagemaker:{target.region or Aws.REGION}:{Aws.ACCOUNT_ID}:endpoint/{name}"
