"""What becomes of each type of resource on this machine: deployed to the emulator, rewritten first, or stood in for.

A type that is not in the table stops the local run: nothing of a template is skipped in silence. `coverage.toml` says
the same of every property.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from cdk.local.child import LocalError
from cdk.local.emulator import ACCOUNT, REGION, ROLE_SESSION_SECONDS
from cdk.local.journal import UNKEPT

Properties = Mapping[str, Any]
Text = Callable[[str], str]
SECRET_LENGTH: Final = 32
URL_SUFFIX: Final = "amazonaws.com"
ABSENT: Final[Mapping[str, str]] = {
    "Custom::CloudRunService": "nexus:cloud_run is for Google Cloud alone: no such service runs here",
    "AWS::SageMaker::Endpoint": "nexus:gpu_endpoint is for AWS alone: no such endpoint runs here, and asking it fails",
}


class Place(NamedTuple):
    """Where the stand-ins listen."""

    valkey_host: str
    valkey_port: int


class Emulated(NamedTuple):
    """Deployed to the emulator; `rewrite(logical id, properties)` says what is changed first."""

    note: str
    rewrite: Callable[[str, Properties], Properties] = lambda _id, properties: properties


class Substituted(NamedTuple):
    """Served by another part; `answers(logical id, text of a property, place)` gives what Ref ("") and GetAtt say."""

    note: str
    answers: Callable[[str, Text, Place], Mapping[str, str]] = lambda logical_id, _text, _place: {"": logical_id}


Rule = Emulated | Substituted


def rule(logical_id: str, type_name: str) -> Rule:
    """Return what is done with a type; an unknown one is an error that names the resource."""
    if type_name not in RULES:
        raise LocalError(
            f"The local run knows no resource of type {type_name} ({logical_id}); "
            "say in cdk/local/substitutions.py what stands in for it."
        )
    return RULES[type_name]


def absent(types: Iterable[str]) -> list[str]:
    """Say what was configured for the cloud alone, of resources of these types."""
    return [ABSENT[name] for name in sorted({*types} & ABSENT.keys())]


def arn(service: str, resource: str) -> str:
    """Name something of the local account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def _table(logical_id: str, properties: Properties) -> Properties:
    return {**properties, "TableName": logical_id}


def _secret(logical_id: str, properties: Properties) -> Properties:
    generated = properties.get("GenerateSecretString")
    if generated is None:
        return {**properties, "Name": f"{UNKEPT}{logical_id}"}
    rest = {name: value for name, value in properties.items() if name != "GenerateSecretString"}
    return {**rest, "Name": logical_id, "SecretString": _generate(logical_id, generated)}


def _generate(logical_id: str, options: Properties) -> str:
    known = {
        "ExcludeCharacters",
        "ExcludePunctuation",
        "GenerateStringKey",
        "IncludeSpace",
        "PasswordLength",
        "SecretStringTemplate",
    }
    if unknown := sorted(options.keys() - known):
        raise LocalError(f"{logical_id}: GenerateSecretString.{unknown[0]} is not done by the local run.")
    signs = "" if options.get("ExcludePunctuation") else string.punctuation
    excluded = options.get("ExcludeCharacters", "")
    alphabet = [sign for sign in string.ascii_letters + string.digits + signs if sign not in excluded]
    chosen = "".join(secrets.choice(alphabet) for _ in range(options.get("PasswordLength", SECRET_LENGTH)))
    if "SecretStringTemplate" not in options:
        return chosen
    return json.dumps({**json.loads(options["SecretStringTemplate"]), options["GenerateStringKey"]: chosen})


def _role(_logical_id: str, properties: Properties) -> Properties:
    return {**properties, "MaxSessionDuration": ROLE_SESSION_SECONDS}


def _bucket(logical_id: str, properties: Properties) -> Properties:
    return {"BucketName": logical_id.lower(), **properties}


def _allowing(_logical_id: str, properties: Properties) -> Properties:
    policy = properties["PolicyDocument"]
    allowed = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]
    return {**properties, "PolicyDocument": {**policy, "Statement": allowed}}


def _queue(logical_id: str, properties: Properties) -> Properties:
    return {**properties, "QueueName": logical_id}


def _api(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id.lower(), "RootResourceId": "root"}


def _stage(_logical_id: str, text: Text, _place: Place) -> Mapping[str, str]:
    return {"": text("StageName")}


def _function(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id, "Arn": arn("lambda", f"function:{logical_id}")}


def _log_group(logical_id: str, properties: Properties) -> Properties:
    return {**properties, "LogGroupName": logical_id}


def _cache(_logical_id: str, text: Text, place: Place) -> Mapping[str, str]:
    name = text("ServerlessCacheName")
    return {
        "": name,
        "ARN": arn("elasticache", f"serverlesscache:{name}"),
        "Endpoint.Address": place.valkey_host,
        "Endpoint.Port": str(place.valkey_port),
    }


def _user(_logical_id: str, text: Text, _place: Place) -> Mapping[str, str]:
    return {"": text("UserId"), "Arn": arn("elasticache", f"user:{text('UserId')}")}


def _user_group(_logical_id: str, text: Text, _place: Place) -> Mapping[str, str]:
    return {"": text("UserGroupId"), "Arn": arn("elasticache", f"usergroup:{text('UserGroupId')}")}


def _events_rule(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id, "Arn": arn("events", f"rule/{logical_id}")}


def _web_acl(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id, "Arn": arn("wafv2", f"regional/webacl/{logical_id}")}


def _ip_set(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id, "Arn": arn("wafv2", f"regional/ipset/{logical_id}/{logical_id}")}


def _model(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id, "ModelName": logical_id}


def _endpoint_config(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id, "EndpointConfigName": logical_id}


def _endpoint(_logical_id: str, text: Text, _place: Place) -> Mapping[str, str]:
    return {"": arn("sagemaker", f"endpoint/{text('EndpointName')}"), "EndpointName": text("EndpointName")}


def _cloud_run(logical_id: str, _text: Text, _place: Place) -> Mapping[str, str]:
    return {"": logical_id, "Address": "https://cloud-run.invalid"}


_FRONT: Final = "the API front reads it from the template"
_NO_ENDPOINT: Final = "no endpoint of SageMaker runs here; the GPU service does, under its own provider"

RULES: Final[Mapping[str, Rule]] = {
    "AWS::CloudWatch::Alarm": Substituted("nothing is measured here, so none rings"),
    "AWS::CloudWatch::Dashboard": Substituted("nothing is measured here, so there is nothing to show"),
    "AWS::DynamoDB::Table": Emulated("named after its logical id, so that its items are found again", _table),
    "AWS::IAM::Policy": Emulated("enforced on every call of a function"),
    "AWS::IAM::Role": Emulated("its sessions last 12 hours", _role),
    "AWS::KMS::Key": Emulated("exists, encrypts nothing"),
    "AWS::Logs::LogGroup": Emulated("named after its logical id; each function's lines are in a file, too", _log_group),
    "AWS::Logs::SubscriptionFilter": Substituted("the local run reads each line as it is written"),
    "AWS::S3::Bucket": Emulated("named after its logical id if nobody named it; emptied when the run ends", _bucket),
    "AWS::S3::BucketPolicy": Substituted("requests come without TLS here, which it refuses"),
    "AWS::Logs::MetricFilter": Substituted("nothing is counted here; the lines are in the functions' log files"),
    "AWS::SQS::Queue": Emulated("named after its logical id; emptied when the run ends", _queue),
    "AWS::SQS::QueuePolicy": Emulated("but for requests without TLS, as all are here", _allowing),
    "AWS::SecretsManager::Secret": Emulated("named after its logical id; generated by the operating system", _secret),
    "AWS::ApiGateway::Account": Substituted("access logs need no role here"),
    "AWS::ApiGateway::ApiKey": Emulated("the API front reads it from the template too"),
    "AWS::ApiGateway::Authorizer": Substituted(_FRONT),
    "AWS::ApiGateway::Deployment": Substituted("the front serves the template as it is now"),
    "AWS::ApiGateway::GatewayResponse": Substituted(_FRONT),
    "AWS::ApiGateway::Method": Substituted(_FRONT),
    "AWS::ApiGateway::Resource": Substituted(_FRONT),
    "AWS::ApiGateway::RestApi": Substituted(_FRONT, _api),
    "AWS::ApiGateway::Stage": Substituted(_FRONT, _stage),
    "AWS::ApiGateway::UsagePlan": Emulated("who is in it; its ceilings are the API front's"),
    "AWS::ApiGateway::UsagePlanKey": Emulated("the API front reads it from the template too"),
    "AWS::ApplicationAutoScaling::ScalableTarget": Substituted(_NO_ENDPOINT),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Substituted(_NO_ENDPOINT),
    "AWS::ElastiCache::ServerlessCache": Substituted("a local Valkey in cluster mode", _cache),
    "AWS::ElastiCache::User": Substituted("the local Valkey asks for no user", _user),
    "AWS::ElastiCache::UserGroup": Substituted("the local Valkey asks for no user", _user_group),
    "AWS::Events::Rule": Substituted("the local run's own clock starts the function", _events_rule),
    "AWS::Lambda::EventInvokeConfig": Substituted("a start that fails is not repeated here either"),
    "AWS::Lambda::EventSourceMapping": Substituted("the local run hands on what is in the queue"),
    "AWS::Lambda::Function": Substituted("processes that run the zip's content under the runtime loop", _function),
    "AWS::Lambda::Permission": Substituted("the front is the only caller, and needs none"),
    "AWS::SageMaker::Endpoint": Substituted(_NO_ENDPOINT, _endpoint),
    "AWS::SageMaker::EndpointConfig": Substituted(_NO_ENDPOINT, _endpoint_config),
    "AWS::SageMaker::Model": Substituted(_NO_ENDPOINT, _model),
    "AWS::SNS::Subscription": Substituted("nobody is written to"),
    "AWS::SNS::Topic": Emulated("exists, and has no subscribers"),
    "AWS::SNS::TopicPolicy": Substituted("no alarm publishes here"),
    "Custom::CloudRunService": Substituted("nobody asks the function that deploys it", _cloud_run),
    "AWS::WAFv2::IPSet": Substituted("the API front looks blocked networks up in the Directory itself", _ip_set),
    "AWS::WAFv2::WebACL": Substituted("the API front refuses blocked networks, and nobody else", _web_acl),
    "AWS::WAFv2::WebACLAssociation": Substituted("never run here"),
}
