"""Each function of the manifest is deployed as its line says, and may do what its line says, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared import grants, manifest
from shared.manifest import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.parts import Function

EVERY_FUNCTION = pytest.mark.parametrize("spec", FUNCTIONS.values(), ids=lambda spec: spec.name)
# What stands in the template for each resource of the manifest: (type, attribute) pairs.
ARNS = {
    "audit": [("DynamoDB::Table", "Audit")],
    "batchbucket": [("S3::Bucket", "Arn")],
    "batches": [("DynamoDB::Table", "Batches")],
    "batchqueue": [("SQS::Queue", "BatchQueue")],
    "directory": [("DynamoDB::Table", "Directory")],
    "ipsets": [("WAFv2::IPSet", "Blocked4"), ("WAFv2::IPSet", "Blocked6")],
    "journal": [("Logs::LogGroup", "Arn"), ("Logs::LogGroup", "GatewayLog")],
    "ledger": [("DynamoDB::Table", "Ledger")],
    "pepper": [("SecretsManager::Secret", "Pepper")],
    "providers": [("SecretsManager::Secret", "Providers")],
    "signing": [("SecretsManager::Secret", "Signing")],
    "topic": [("SNS::Topic", "Operators")],
    "valkey": [("ElastiCache::ServerlessCache", "ARN"), ("ElastiCache::User", "Arn")],
}

PLANS = [f"/usageplans/ApiRest{tier}Plan/keys" for tier in ("Free", "Pro", "Enterprise")]
PATHS = {"apikey": ["/apikeys/*"], "apikeys": ["/apikeys"], "plans": PLANS, "enrolled": [f"{plan}/*" for plan in PLANS]}


def path_of(target: Mapping[str, Any]) -> str:
    """The path in an ARN of API Gateway's, with names of resources without CDK's digest."""
    parts = [part["Ref"][:-8] if isinstance(part, dict) else part for part in target["Fn::Join"][1]]
    return "".join(parts).rpartition("::")[2]


def here(spec: Function) -> list[grants.Grant]:
    """The optional grants of `spec` that this deployment gives: there is a firewall, and nothing of AWS is a target."""
    return [grant for grant in spec.optional_grants if grant.resource == "ipsets"]


def deployed(spec: Function, template: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Find the one deployed function with the handler of `spec`: its logical id and properties."""
    [(name, resource)] = [
        (name, resource)
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function" and resource["Properties"]["Handler"] == spec.handler
    ]
    return name, resource["Properties"]


def statements(spec: Function, template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Collect everything that the role of `spec` may do, by the statements' names."""
    role = deployed(spec, template)[1]["Role"]["Fn::GetAtt"][0]
    policies = [
        resource["Properties"]["PolicyDocument"]["Statement"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": role} in resource["Properties"]["Roles"]
    ]
    return {statement["Sid"]: statement for policy in policies for statement in policy}


def listed(value: object) -> list[Any]:
    """Undo CloudFormation's habit of writing a list of one as the one."""
    return value if isinstance(value, list) else [value]


@EVERY_FUNCTION
def test_every_function_is_deployed_as_its_line_says(spec: Function, template: Mapping[str, Any]) -> None:
    """Size, time, platform and log of a function come from the manifest and the house rules."""
    properties = deployed(spec, template)[1]
    assert properties["MemorySize"] == spec.memory_mb
    assert properties["Timeout"] == spec.timeout_s
    assert properties["Runtime"] == "python3.14"
    assert properties["Architectures"] == ["arm64"]
    assert "ReservedConcurrentExecutions" not in properties  # a new account has none to give away
    assert template["Resources"][properties["LoggingConfig"]["LogGroup"]["Ref"]]["Type"] == "AWS::Logs::LogGroup"


def test_nothing_runs_that_the_manifest_does_not_name(of_type: Callable[[str], dict[str, Any]]) -> None:
    """CDK slips no function of its own in."""
    assert len(of_type("Lambda::Function")) == len(FUNCTIONS)


@EVERY_FUNCTION
def test_a_function_finds_every_variable_it_was_promised(spec: Function, template: Mapping[str, Any]) -> None:
    """The environment is the manifest's, with the optional variables that this deployment configures."""
    optional = {"OPENAI_BASE_URL"} & set(spec.optional_environment)
    optional |= {name for grant in here(spec) for name in grants.SET_WITH_GRANT[grant.resource]}
    variables = deployed(spec, template)[1]["Environment"]["Variables"]
    assert variables.keys() == spec.environment | optional
    assert all(variables.values())
    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/var/task/bootstrap"
    assert variables["RES_OPTIONS"] == "timeout:1 attempts:2"


@EVERY_FUNCTION
def test_a_role_is_its_grants_and_its_log(spec: Function, template: Mapping[str, Any]) -> None:
    """Every statement of the role stands in the manifest, with exactly its actions."""
    found = {name: set(listed(statement["Action"])) for name, statement in statements(spec, template).items()}
    wanted = {grant.resource.capitalize(): set(grant.actions) for grant in (*spec.grants, *here(spec))}
    log = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert found == {**wanted, "Key": set(spec.key_actions), "Log": log}


@EVERY_FUNCTION
def test_a_grant_reaches_the_resource_it_names(spec: Function, template: Mapping[str, Any]) -> None:
    """Each statement points at the stack's own resources of the right kind, never at a pattern (but for API keys)."""
    given = statements(spec, template)
    for grant in (*spec.grants, *here(spec)):
        targets = listed(given[grant.resource.capitalize()]["Resource"])
        if grant.resource == "batchfiles":
            [bucket] = [name for name, one in template["Resources"].items() if one["Type"] == "AWS::S3::Bucket"]
            assert targets == [{"Fn::Join": ["", [{"Fn::GetAtt": [bucket, "Arn"]}, "/*"]]}]
            continue
        if grant.resource in PATHS:
            assert {path_of(target) for target in targets} == set(PATHS[grant.resource])
            continue
        assert len(targets) == len(ARNS[grant.resource])
        for target, (kind, attribute) in zip(targets, ARNS[grant.resource], strict=True):
            last = target.get("Fn::Join", ["", [target]])[1][-1]
            name, detail = last.get("Fn::GetAtt", [last.get("Ref"), None])
            assert template["Resources"][name]["Type"] == f"AWS::{kind}"
            assert attribute == detail or attribute in name


@EVERY_FUNCTION
def test_the_key_opens_only_through_the_stores(spec: Function, template: Mapping[str, Any]) -> None:
    """A function cannot use the key by itself, only have DynamoDB or Secrets Manager use it in its name."""
    through = statements(spec, template)["Key"]["Condition"]["StringEquals"]["kms:ViaService"]
    stores = {grant.actions[0].partition(":")[0] for grant in spec.grants} - {
        "apigateway",
        "elasticache",
        "logs",
        "sqs",
    }
    assert {service["Fn::Join"][1][0] for service in listed(through)} == {f"{store}." for store in stores}


def test_no_role_has_a_policy_of_aws_or_a_bare_star(of_type: Callable[[str], dict[str, Any]]) -> None:
    """No managed policy anywhere, and no statement on every resource there is."""
    roles, policies = of_type("IAM::Role"), of_type("IAM::Policy")
    assert not [name for name, role in roles.items() if role["Properties"].get("ManagedPolicyArns")]
    documents = [policy["Properties"]["PolicyDocument"] for policy in policies.values()]
    documents += [
        inline["PolicyDocument"] for role in roles.values() for inline in role["Properties"].get("Policies", [])
    ]
    written = [statement for document in documents for statement in document["Statement"]]
    assert "*" not in {resource for s in written for resource in listed(s["Resource"]) if isinstance(resource, str)}
    assert not [action for s in written for action in listed(s["Action"]) if "*" in action]


def test_only_the_api_the_clock_or_a_log_may_call_a_function(
    template: Mapping[str, Any], of_type: Callable[[str], dict[str, Any]]
) -> None:
    """Each invoke permission names this one REST API as its source, the rule of this function's schedule, or a log."""
    [api] = of_type("ApiGateway::RestApi")
    permissions = [permission["Properties"] for permission in of_type("Lambda::Permission").values()]
    called = {permission["FunctionName"]["Fn::GetAtt"][0] for permission in permissions}
    assert called == {deployed(spec, template)[0] for spec in FUNCTIONS.values() if not spec.queued}
    clocked = {deployed(spec, template)[0] for spec in FUNCTIONS.values() if spec.every_minutes}
    hearing = {deployed(spec, template)[0] for spec in FUNCTIONS.values() if spec.hears}
    for permission in permissions:
        if permission["FunctionName"]["Fn::GetAtt"][0] in hearing:
            assert permission["Principal"] == "logs.amazonaws.com"
            assert permission["SourceArn"]["Fn::GetAtt"][0] in of_type("Logs::LogGroup")
            continue
        by_clock = permission["FunctionName"]["Fn::GetAtt"][0] in clocked
        assert permission["Principal"] == ("events.amazonaws.com" if by_clock else "apigateway.amazonaws.com")
        if by_clock:
            rule = template["Resources"][permission["SourceArn"]["Fn::GetAtt"][0]]["Properties"]
            assert rule["Targets"] == [{"Arn": permission["FunctionName"], "Id": "function"}]
        else:
            assert {"Ref": api} in permission["SourceArn"]["Fn::Join"][1]


def test_a_scheduled_function_is_started_as_often_as_its_line_says(
    template: Mapping[str, Any], of_type: Callable[[str], dict[str, Any]]
) -> None:
    """And a start that fails is not repeated: the next one takes up what it left."""
    started = {
        rule["Properties"]["Targets"][0]["Arn"]["Fn::GetAtt"][0]: rule["Properties"]["ScheduleExpression"]
        for rule in of_type("Events::Rule").values()
    }
    unit = {1: "minute"}
    wanted = {
        deployed(spec, template)[0]: f"rate({spec.every_minutes} {unit.get(spec.every_minutes, 'minutes')})"
        for spec in FUNCTIONS.values()
        if spec.every_minutes
    }
    assert started == wanted
    repeated = {
        settings["Properties"]["FunctionName"]["Ref"]: settings["Properties"]["MaximumRetryAttempts"]
        for settings in of_type("Lambda::EventInvokeConfig").values()
    }
    assert {name: repeated[name] for name in wanted} == dict.fromkeys(wanted, 0)


def test_whoever_serves_requests_writes_the_one_journal(template: Mapping[str, Any]) -> None:
    """The books are rebuilt from the gateway's log, so the lines of batches must be in it."""
    log = deployed(FUNCTIONS[manifest.GATEWAY], template)[1]["LoggingConfig"]["LogGroup"]
    assert deployed(FUNCTIONS["batchworker"], template)[1]["LoggingConfig"]["LogGroup"] == log


def test_each_message_of_the_queue_starts_the_worker(
    template: Mapping[str, Any], of_type: Callable[[str], dict[str, Any]]
) -> None:
    """One at a time; unseen by others while it lives; put aside when it has failed five times; not ended as a loop."""
    name, properties = deployed(FUNCTIONS["batchworker"], template)
    [mapping] = [one["Properties"] for one in of_type("Lambda::EventSourceMapping").values()]
    queue = of_type("SQS::Queue")[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
    assert mapping["FunctionName"]["Fn::GetAtt"][0] == name
    assert mapping["BatchSize"] == 1
    assert queue["VisibilityTimeout"] > properties["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert properties["RecursiveLoop"] == "Allow"
    others = [one["Properties"] for one in of_type("Lambda::Function").values()]
    assert sum("RecursiveLoop" in one for one in others) == 1


def test_s3_tells_the_queue_of_the_inbox(template: Mapping[str, Any], of_type: Callable[[str], dict[str, Any]]) -> None:
    """S3 of this account may send, and is asked for it when it already may; an output names the bucket."""
    [mapping] = [one["Properties"] for one in of_type("Lambda::EventSourceMapping").values()]
    [(bucket_id, bucket)] = of_type("S3::Bucket").items()
    assert template["Outputs"]["BatchBucket"]["Value"] == {"Ref": bucket_id}
    [told] = bucket["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    rules = [{"Name": "prefix", "Value": "inbox/"}, {"Name": "suffix", "Value": ".jsonl"}]
    assert told == {
        "Event": "s3:ObjectCreated:*",
        "Filter": {"S3Key": {"Rules": rules}},
        "Queue": mapping["EventSourceArn"],
    }
    [policy] = [one for name, one in of_type("SQS::QueuePolicy").items() if name in bucket["DependsOn"]]
    assert policy["Properties"]["Queues"] == [{"Ref": mapping["EventSourceArn"]["Fn::GetAtt"][0]}]
    [allowed] = [one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
    assert allowed == {
        "Action": "sqs:SendMessage",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Resource": mapping["EventSourceArn"],
    }


def test_the_books_are_told_the_longest_lease(template: Mapping[str, Any]) -> None:
    """Nothing that was admitted before a loss outlives the closure."""
    variables = deployed(FUNCTIONS["budgets"], template)[1]["Environment"]["Variables"]
    assert int(variables["LONGEST_LEASE"]) >= FUNCTIONS["gateway"].timeout_s + 5


def test_each_log_is_forgotten_after_a_week(of_type: Callable[[str], dict[str, Any]]) -> None:
    """One group for each function and one for the access log, all kept seven days."""
    groups = of_type("Logs::LogGroup")
    assert len(groups) == sum(not spec.writes_to for spec in FUNCTIONS.values()) + 1
    assert {group["Properties"]["RetentionInDays"] for group in groups.values()} == {7}


def test_the_usage_key_prefix_is_the_start_of_each_tiers_key(
    template: Mapping[str, Any], of_type: Callable[[str], dict[str, Any]]
) -> None:
    """What the authorizer puts before a tier's name gives exactly the value of that tier's API Gateway key."""
    prefix = deployed(FUNCTIONS[manifest.AUTHORIZER], template)[1]["Environment"]["Variables"]["USAGE_KEY_PREFIX"]
    values = [key["Properties"]["Value"] for key in of_type("ApiGateway::ApiKey").values()]
    assert values == [{"Fn::Join": ["", [prefix, f"-{plan.tier}"]]} for plan in manifest.PLANS]
