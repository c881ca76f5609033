"""What must not be lost is protected, and what could cost money without end is capped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shared.edge.signing import SHORTEST_SEED
from shared.manifest import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Select = Callable[[str], dict[str, Any]]


def test_the_tables_survive_mistakes(of_type: Select) -> None:
    """Each can be restored to any second, is deleted by no one in passing, and costs nothing while idle."""
    assert of_type("DynamoDB::Table")
    for table in of_type("DynamoDB::Table").values():
        properties = table["Properties"]
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert properties["DeletionProtectionEnabled"] is True
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["KeySchema"] == [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ]
        assert table["DeletionPolicy"] == "Retain"


def test_nothing_leaves_the_audit_log(of_type: Select) -> None:
    """Its lines have no end of life, and no function is granted an action that changes or removes one."""
    [audit] = [table for name, table in of_type("DynamoDB::Table").items() if "Audit" in name]
    assert "TimeToLiveSpecification" not in audit["Properties"]
    granted = {action for f in FUNCTIONS.values() for g in f.grants if g.resource == "audit" for action in g.actions}
    assert granted == {"dynamodb:PutItem", "dynamodb:Query"}


def test_everything_at_rest_is_under_our_own_key(of_type: Select) -> None:
    """Table, secrets and store name the one key, which rotates."""
    [(name, key)] = of_type("KMS::Key").items()
    [cache] = of_type("ElastiCache::ServerlessCache").values()
    tables = [table["Properties"] for table in of_type("DynamoDB::Table").values()]
    used = [cache["Properties"]["KmsKeyId"], *(table["SSESpecification"]["KMSMasterKeyId"] for table in tables)]
    secrets = of_type("SecretsManager::Secret").values()
    used += [secret["Properties"]["KmsKeyId"] for secret in secrets]
    assert used == [{"Fn::GetAtt": [name, "Arn"]}] * (1 + len(tables) + len(secrets))
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "Retain"


def test_no_secret_is_written_in_the_template(of_type: Select) -> None:
    """The pepper is made in the account, and the providers' credentials are an empty object until someone fills it."""
    secrets = {name: secret["Properties"] for name, secret in of_type("SecretsManager::Secret").items()}
    [pepper] = [secret for name, secret in secrets.items() if "Pepper" in name]
    [providers] = [secret for name, secret in secrets.items() if "Providers" in name]
    assert pepper["GenerateSecretString"]["PasswordLength"] >= 32
    assert "SecretString" not in pepper
    assert providers["SecretString"] == "{}"


def test_the_seed_of_the_signing_keys_is_made_in_the_account(of_type: Select) -> None:
    """A JSON object whose one seed is chance that nobody has seen; there is no key before it yet."""
    secrets = {name: secret["Properties"] for name, secret in of_type("SecretsManager::Secret").items()}
    [signing] = [secret for name, secret in secrets.items() if "Signing" in name]
    made = signing["GenerateSecretString"]
    assert (made["GenerateStringKey"], json.loads(made["SecretStringTemplate"])) == ("current", {"previous": ""})
    assert made["PasswordLength"] >= SHORTEST_SEED
    assert made["ExcludePunctuation"] is True
    assert "SecretString" not in signing


def test_the_store_needs_no_network_of_ours(of_type: Select, template: Mapping[str, Any]) -> None:
    """Valkey 9 by its public endpoint, with IAM as the only way in; there is no VPC to pay for."""
    [cache], [user] = of_type("ElastiCache::ServerlessCache").values(), of_type("ElastiCache::User").values()
    [group] = of_type("ElastiCache::UserGroup")
    properties = cache["Properties"]
    assert (properties["Engine"], properties["MajorEngineVersion"]) == ("valkey", "9")
    assert properties["ConnectionType"] == "public"
    assert properties["UserGroupId"] == {"Ref": group}
    assert user["Properties"]["AuthenticationMode"] == {"Type": "iam"}
    assert user["Properties"]["UserId"] == user["Properties"]["UserName"]  # or IAM refuses
    assert not [r for r in template["Resources"].values() if r["Type"].startswith("AWS::EC2::")]


def test_the_stores_bill_has_a_ceiling(of_type: Select) -> None:
    """Neither data nor work can grow past what was configured."""
    [cache] = of_type("ElastiCache::ServerlessCache").values()
    limits = cache["Properties"]["CacheUsageLimits"]
    assert limits == {"DataStorage": {"Maximum": 2, "Unit": "GB"}, "ECPUPerSecond": {"Maximum": 10_000}}


def test_the_outputs_say_what_an_operator_needs_next(template: Mapping[str, Any]) -> None:
    """Where to send requests, what makes the first key, where data and credentials lie."""
    secrets = {"PepperSecret", "ProvidersSecret", "SigningSecret"}
    wanted = {"BaseUrl", "AdminFunction", "DirectoryTable", "GatewayRole", "JwtIssuer", *secrets}
    assert wanted <= template["Outputs"].keys()
    assert not str(template["Outputs"]["BaseUrl"]["Value"]["Fn::Join"][1][-1]).endswith("/")
