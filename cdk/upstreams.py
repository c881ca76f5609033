"""What of AWS the catalog's targets are, so that the gateway may call these and nothing else: models and endpoints.

A target's model is how Bedrock or SageMaker knows it. A Bedrock inference profile (`us.`, `eu.`, `global.` and so on)
stands for one model in several regions, chosen by AWS: the model must be allowed in all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, Stack

from cdk.targets import endpoint_of
from shared.core.catalog import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from constructs import Construct

    from shared import grants
    from shared.core.catalog import Storage, Target

ANYWHERE: Final = (
    "An inference profile has AWS choose the region for each request, so its one model must be allowed in every region."
)
FOLDER: Final = (
    "What is laid down in a folder of S3 for an asynchronous endpoint, or by it, has a name of its own each time."
)
CALLED: Final[tuple[grants.Resource, ...]] = (
    "asyncanswers", "asyncbuckets", "asyncendpoints", "asyncrequests", "bedrock", "sagemaker",
)  # fmt: skip
_PROFILE = re.compile(r"^(?:us|us-gov|eu|apac|au|ca|jp|global)\.")


def upstreams(catalog: bytes) -> dict[grants.Resource, list[str]]:
    """Return the ARNs of what the targets of a compiled catalog are, by the manifest's resource."""
    known = decode(catalog)
    found: dict[grants.Resource, set[str]] = {resource: set() for resource in CALLED}
    for model in known.models.values():
        for target in model.targets:
            provider = known.providers[target.provider]
            if provider.dialect == "bedrock" and not provider.secret:
                found["bedrock"].update(_models(target))
            if provider.dialect == "sagemaker":
                found["sagemaker"].add(_endpoint(target))
            if provider.dialect == "sagemaker-async" and provider.storage:
                found["asyncendpoints"].add(_endpoint(target))
                _store(provider.storage, found)
    return {resource: sorted(arns) for resource, arns in found.items()}


def unnamed(scope: Construct, arns: Iterable[str]) -> dict[str, str]:
    """Return cdk-nag's rules that ARNs in every region, or of a whole folder, break: each with why they may."""
    wide = {arn: ANYWHERE if ":*:" in arn else FOLDER for arn in arns if "*" in arn}
    return {f"AwsSolutions-IAM5[Resource::{_plain(scope, arn)}]": reason for arn, reason in wide.items()}


def _plain(scope: Construct, arn: str) -> str:
    """Write an ARN as cdk-nag does."""
    parts = Stack.of(scope).resolve(arn)["Fn::Join"][1]
    return "".join(f"<{part['Ref']}>" if isinstance(part, dict) else part for part in parts)


def _store(storage: Storage, found: dict[grants.Resource, set[str]]) -> None:
    answers = [folder for folder in (storage.output, storage.failure) if folder]
    found["asyncrequests"].add(s3_arn(f"{storage.input}/*"))
    found["asyncanswers"].update(s3_arn(f"{folder}/*") for folder in answers)
    found["asyncbuckets"].update(s3_arn("/".join(folder.split("/")[:3])) for folder in answers)


def s3_arn(place: str) -> str:
    """Return the ARN of `s3://bucket`, or of what lies in it."""
    return f"arn:{Aws.PARTITION}:s3:::{place.removeprefix('s3://')}"


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
    place = f"{target.region or Aws.REGION}:{Aws.ACCOUNT_ID}"
    return f"arn:{Aws.PARTITION}:sagemaker:{place}:endpoint/{endpoint_of(target)}"
