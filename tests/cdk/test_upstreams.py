"""What the gateway may call at AWS is what its catalog names there, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdk import synth
from cdk.bundle import ROOT
from cdk.catalog import compile_catalog
from cdk.config import Config
from cdk.upstreams import CALLED, upstreams
from shared.manifest import FUNCTIONS
from tests.cdk.test_functions import listed, statements

if TYPE_CHECKING:
    from pathlib import Path

MORE = """
[providers.bedrock]
dialect = "bedrock"
base_url = "https://bedrock-runtime.{region}.amazonaws.com"

[providers.keyed]
dialect = "bedrock"
base_url = "https://bedrock-runtime.us-east-1.amazonaws.com"
secret = "BEDROCK_API_KEY"

[providers.ours]
dialect = "sagemaker"
base_url = "https://runtime.sagemaker.{region}.amazonaws.com"
region = "eu-west-1"

[providers.later]
dialect = "sagemaker-async"
base_url = "https://runtime.sagemaker.{region}.amazonaws.com"

[providers.later.storage]
input = "s3://requests/nexus"
output = "s3://answers/out"
failure = "s3://answers/failed"

[models.slow]
kind = "chat"
targets = ["later:Slow-Endpoint"]
owned_by = "us"

[models.nova]
kind = "chat"
targets = ["bedrock:amazon.nova-2-lite-v1:0", "bedrock:us.anthropic.claude-sonnet-5-5", "keyed:zai.glm-4.7"]
owned_by = "aws"

[models.mine]
kind = "chat"
targets = ["ours:My-Endpoint/llama"]
owned_by = "us"
"""


def catalog(folder: Path) -> Path:
    """Write the shipped catalog with targets at AWS."""
    path = folder / "catalog.toml"
    path.write_text((ROOT / "shared/data/catalog.toml").read_text() + MORE)
    return path


def plain(arn: Any) -> str:
    """Write an ARN of the template with names for CloudFormation's own."""
    return "".join(part if isinstance(part, str) else part["Ref"].rpartition("::")[2] for part in arn["Fn::Join"][1])


def test_the_shipped_catalog_has_nothing_there() -> None:
    """So that nobody is granted what nobody configured."""
    assert upstreams(compile_catalog(Config().catalog_file)) == {resource: [] for resource in CALLED}


def test_each_target_is_granted_by_its_name(tmp_path: Path) -> None:
    """Models in their region, profiles with their model wherever AWS may run it, endpoints; none for one with a key."""
    built = synth.template(synth.synthesize(Config(target="host", catalog=catalog(tmp_path))))
    found = statements(FUNCTIONS["gateway"], built)
    assert sorted(plain(arn) for arn in listed(found["Bedrock"]["Resource"])) == [
        "arn:Partition:bedrock:*::foundation-model/anthropic.claude-sonnet-5-5",
        "arn:Partition:bedrock:Region::foundation-model/amazon.nova-2-lite-v1:0",
        "arn:Partition:bedrock:Region:AccountId:inference-profile/us.anthropic.claude-sonnet-5-5",
    ]
    assert [plain(arn) for arn in listed(found["Sagemaker"]["Resource"])] == [
        "arn:Partition:sagemaker:eu-west-1:AccountId:endpoint/my-endpoint"
    ]
    resources = {
        sid: [plain(arn) for arn in listed(found[sid]["Resource"])] for sid in found if sid.startswith("Async")
    }
    assert resources == {
        "Asyncanswers": ["arn:Partition:s3:::answers/failed/*", "arn:Partition:s3:::answers/out/*"],
        "Asyncbuckets": ["arn:Partition:s3:::answers"],
        "Asyncendpoints": ["arn:Partition:sagemaker:Region:AccountId:endpoint/slow-endpoint"],
        "Asyncrequests": ["arn:Partition:s3:::requests/nexus/*"],
    }
    assert set(found["Bedrock"]["Action"]) == {"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}
    asking = {name for name in FUNCTIONS if "Bedrock" in statements(FUNCTIONS[name], built)}
    assert asking == {"gateway", "batchworker"}
