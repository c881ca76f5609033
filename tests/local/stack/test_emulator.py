"""The emulator holds functions to their roles, and forgets nothing it acknowledged."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from cdk.local.api import ApiKey, UsagePlan
from cdk.local.child import LocalError
from cdk.local.deploy import Deployment, deploy
from cdk.local.emulator import JOURNAL, Credentials, Emulator, start
from cdk.local.functions import Roles, Surroundings, name_of, specs
from cdk.local.journal import Journal
from cdk.local.made_keys import REMEMBERED_SECONDS, MadeKeys
from cdk.local.substitutions import Place
from cdk.local.workers import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PLACE = Place("127.0.0.1", 6379)
KEY = {"pk": {"S": "default"}, "sk": {"S": "key#1"}}


class Stack(NamedTuple):
    """A running emulator and what is deployed to it."""

    emulator: Emulator
    deployment: Deployment


@pytest.fixture(scope="module")
def stack(template: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The template, deployed."""
    running = run_emulator(tmp_path_factory.mktemp("emulator"))
    try:
        yield Stack(running, deploy(running, template, PLACE))
    finally:
        running.child.stop()


def run_emulator(folder: Path) -> Emulator:
    """Start an emulator that remembers in `folder`."""
    return asyncio.run(start(folder, folder / "emulator.log"))


def role_of(stack: Stack, service: str) -> Credentials:
    """Return the credentials that the function called `service` runs with."""
    functions = stack.deployment.of_type("AWS::Lambda::Function").values()
    (role,) = (
        function["Role"]
        for function in functions
        if function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == service
    )
    return stack.emulator.assume(role, service)


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """Return the code with which a call is refused."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def test_a_function_may_do_what_its_role_grants(stack: Stack) -> None:
    """The authorizer reads the directory and its pepper."""
    role, outputs = role_of(stack, "authorizer"), stack.deployment.outputs
    dynamodb = stack.emulator.client("dynamodb", role)
    assert "Item" not in dynamodb.get_item(TableName=outputs["DirectoryTable"], Key=KEY)
    secrets = stack.emulator.client("secretsmanager", role)
    assert len(secrets.get_secret_value(SecretId=outputs["PepperSecret"])["SecretString"]) >= 32


def test_a_function_that_calls_what_its_role_does_not_grant_is_refused(stack: Stack) -> None:
    """The authorizer can neither write a key, nor list keys, nor read the providers' credentials."""
    role, outputs = role_of(stack, "authorizer"), stack.deployment.outputs
    dynamodb = stack.emulator.client("dynamodb", role)
    table = outputs["DirectoryTable"]
    assert refusal(dynamodb.put_item, TableName=table, Item=KEY) == "AccessDeniedException"
    assert refusal(dynamodb.scan, TableName=table) == "AccessDeniedException"
    secrets = stack.emulator.client("secretsmanager", role)
    assert refusal(secrets.get_secret_value, SecretId=outputs["ProvidersSecret"]) == "AccessDeniedException"


async def trespass(stack: Stack, folder: Path, service: str, *calls: Mapping[str, Any]) -> list[str]:
    """Run other code in the place of the function `service`, in a process of its own, and have it make `calls`."""
    root = Path(__file__).parents[3]
    for package in ("functions", "shared"):
        (folder / package).symlink_to(root / package)
    (folder / "trespasser.py").symlink_to(Path(__file__).with_name("trespasser.py"))
    functions = stack.deployment.of_type("AWS::Lambda::Function").values()
    assets = dict.fromkeys((function["Code"]["S3Key"] for function in functions), folder)
    found = specs(stack.deployment, assets, Surroundings(stack.emulator.endpoint, {}, {}))
    (spec,) = (replace(spec, handler="trespasser.handler") for spec in found if name_of(spec) == service)
    roles = Roles(stack.emulator, stack.deployment)
    async with Pool([spec], log=lambda _function, _line: None, credentials=roles) as pool:
        return [await pool.call(spec.name, call) for call in calls]


def test_a_process_is_refused_what_its_role_does_not_grant(stack: Stack, tmp_path: Path) -> None:
    """A function that was changed to do more than the manifest says fails here, as it would on AWS."""
    outputs = stack.deployment.outputs
    read = {"service": "dynamodb", "action": "GetItem", "request": {"TableName": outputs["DirectoryTable"], "Key": KEY}}
    write = {**read, "action": "PutItem", "request": {"TableName": outputs["DirectoryTable"], "Item": KEY}}
    peek = {
        "service": "secretsmanager",
        "action": "GetSecretValue",
        "request": {"SecretId": outputs["ProvidersSecret"]},
    }

    told = asyncio.run(trespass(stack, tmp_path, "authorizer", read, write, peek))

    assert told == ["done", "AccessDeniedException", "AccessDeniedException"]


def test_the_gateway_cannot_read_the_pepper(stack: Stack) -> None:
    """Each function has a role of its own."""
    secrets = stack.emulator.client("secretsmanager", role_of(stack, "gateway"))
    assert (
        refusal(secrets.get_secret_value, SecretId=stack.deployment.outputs["PepperSecret"]) == "AccessDeniedException"
    )


def test_only_the_function_that_enrols_keys_touches_the_usage_plans(stack: Stack) -> None:
    """It makes an API key, puts it into a plan of this stack, and removes both; nobody's plan, and no API, is its."""
    own = stack.emulator.client("apigateway", role_of(stack, "usagekeys"))
    plan = plan_of(stack, "free")
    key = own.create_api_key(name="n" * 30, value="v" * 30, enabled=True)["id"]
    own.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    assert key in {
        member["id"] for member in stack.emulator.client("apigateway").get_usage_plan_keys(usagePlanId=plan)["items"]
    }
    own.delete_usage_plan_key(usagePlanId=plan, keyId=key)
    own.delete_api_key(apiKey=key)
    foreign = stack.emulator.client("apigateway").create_usage_plan(name="somebody's")["id"]
    assert (
        refusal(own.create_usage_plan_key, usagePlanId=foreign, keyId=key, keyType="API_KEY") == "AccessDeniedException"
    )
    assert refusal(own.delete_usage_plan, usagePlanId=plan) == "AccessDeniedException"
    other = stack.emulator.client("apigateway", role_of(stack, "admin"))
    assert refusal(other.create_api_key, name="n" * 30, value="v" * 30) == "AccessDeniedException"


def test_a_key_made_later_is_known_to_the_front_while_it_lasts(stack: Stack) -> None:
    """With the plan it is in; what was looked up is remembered for some seconds."""
    client, now = stack.emulator.client("apigateway"), [0.0]
    plan = UsagePlan("FreePlan")
    made = MadeKeys(lambda: client, {plan_of(stack, "free"): plan}, lambda: now[0])
    value = "v" * 31
    assert asyncio.run(made(value)) is None
    key = client.create_api_key(name=value, value=value, enabled=True)["id"]
    client.create_usage_plan_key(usagePlanId=plan_of(stack, "free"), keyId=key, keyType="API_KEY")
    assert asyncio.run(made(value)) is None
    now[0] += REMEMBERED_SECONDS
    assert asyncio.run(made(value)) == ApiKey(key, value, plan, enabled=True)
    client.delete_api_key(apiKey=key)
    now[0] += REMEMBERED_SECONDS
    assert asyncio.run(made(value)) is None


def plan_of(stack: Stack, tier: str) -> str:
    """Return the id of a tier's usage plan."""
    functions = stack.deployment.of_type("AWS::Lambda::Function").values()
    (told,) = (
        variables["USAGE_PLANS"]
        for function in functions
        if "USAGE_PLANS" in (variables := function["Environment"]["Variables"])
    )
    plans: dict[str, str] = dict(pair.split("=") for pair in told.split(","))
    return plans[tier]


def test_a_stranger_is_refused(stack: Stack) -> None:
    """Credentials that the account does not know open nothing."""
    role = role_of(stack, "gateway")._replace(access_key="ASIAUNKNOWNUNKNOWN00")
    dynamodb = stack.emulator.client("dynamodb", role)
    code = refusal(dynamodb.get_item, TableName=stack.deployment.outputs["DirectoryTable"], Key=KEY)
    assert code in {"UnrecognizedClientException", "InvalidClientTokenId", "AccessDeniedException"}


def test_a_template_that_fails_is_reported_with_the_reason(tmp_path: Path) -> None:
    """The first resource that could not be made is named."""
    broken = {"Resources": {"Bad": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "p", "Roles": ["none"]}}}}
    running = run_emulator(tmp_path)
    try:
        with pytest.raises(LocalError, match="not deployed: Bad: ") as refused:
            deploy(running, broken, PLACE)
    finally:
        running.child.stop()
    assert "none" in str(refused.value)


def test_what_was_acknowledged_survives_a_sudden_end(template: dict[str, Any], tmp_path: Path) -> None:
    """Items written an instant before the process is killed are there again, and the pepper is the same."""
    first = run_emulator(tmp_path)
    outputs = deploy(first, template, PLACE).outputs
    table, dynamodb = outputs["DirectoryTable"], first.client("dynamodb")
    pepper = first.secrets.get_secret_value(SecretId=outputs["PepperSecret"])["SecretString"]
    first.secrets.put_secret_value(SecretId=outputs["ProvidersSecret"], SecretString="sk-from-environment")
    gone = {**KEY, "sk": {"S": "key#2"}}
    for item in (KEY, gone):
        dynamodb.put_item(TableName=table, Item={**item, "version": {"N": "1"}})
    dynamodb.delete_item(TableName=table, Key=gone)
    dynamodb.update_item(
        TableName=table, Key=KEY, UpdateExpression="SET version = :v", ExpressionAttributeValues={":v": {"N": "2"}}
    )
    first.child.process.send_signal(signal.SIGKILL)
    first.child.process.wait()

    second = run_emulator(tmp_path)
    try:
        outputs = deploy(second, template, PLACE).outputs
        items = second.client("dynamodb").scan(TableName=outputs["DirectoryTable"])["Items"]
        assert items == [{**KEY, "version": {"N": "2"}}]
        assert second.secrets.get_secret_value(SecretId=outputs["PepperSecret"])["SecretString"] == pepper
    finally:
        second.child.stop()
    journal = b"".join(path.read_bytes() for path in tmp_path.glob(f"{JOURNAL}*"))
    assert b"sk-from-environment" not in journal


def test_a_refused_write_is_not_remembered(template: dict[str, Any], tmp_path: Path) -> None:
    """A condition that fails leaves the journal as it was, in one request and in a transaction."""
    first = run_emulator(tmp_path)
    table, dynamodb = deploy(first, template, PLACE).outputs["DirectoryTable"], first.client("dynamodb")
    unless = {"TableName": table, "ConditionExpression": "attribute_exists(pk)"}
    assert refusal(dynamodb.put_item, Item=KEY, **unless) == "ConditionalCheckFailedException"
    other = {"Put": {"TableName": table, "Item": {**KEY, "sk": {"S": "key#3"}}}}
    steps = [other, {"Put": {"Item": KEY, **unless}}]
    assert refusal(dynamodb.transact_write_items, TransactItems=steps) == "TransactionCanceledException"
    first.child.stop()
    second = run_emulator(tmp_path)
    try:
        deploy(second, template, PLACE)
        assert second.client("dynamodb").scan(TableName=table)["Count"] == 0
    finally:
        second.child.stop()


def test_a_damaged_journal_is_one_sentence_and_stays_as_it_is(tmp_path: Path) -> None:
    """The file is named with what to do about it, and not overwritten."""
    damaged = tmp_path / JOURNAL
    damaged.write_bytes(b"this is not a database" * 100)
    with pytest.raises(LocalError, match="damaged") as refused:
        run_emulator(tmp_path)
    assert str(damaged) in str(refused.value)
    assert "move it away" in str(refused.value)
    assert damaged.read_bytes() == b"this is not a database" * 100


def test_a_journal_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    """It may be as good as ever, so nobody is told to move it away."""
    with pytest.raises(LocalError, match=r"cannot be used: unable to open database file\.$"):
        Journal.open(tmp_path / "nowhere" / JOURNAL)


def test_it_opens_one_port_on_loopback(stack: Stack) -> None:
    """The emulator's listeners for other protocols stay closed."""
    pid = stack.emulator.child.process.pid
    assert listening(pid) == [f"127.0.0.1:{stack.emulator.port}"]


def listening(pid: int) -> list[str]:
    """Return the addresses on which a process listens."""
    inodes = {
        target[len("socket:[") : -1]
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if (target := str(link.readlink())).startswith("socket:[")
    }
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = line.split()[1], line.split()[3], line.split()[9]
            if state == "0A" and inode in inodes:
                address, port = local.split(":")
                octets = [str(octet) for octet in reversed(bytes.fromhex(address))]
                found.append(f"{'.'.join(octets)}:{int(port, 16)}")
    return found


def test_the_answer_of_a_secret_is_json(stack: Stack) -> None:
    """The providers' secret starts as an object that names nobody."""
    secret = stack.emulator.secrets.get_secret_value(SecretId=stack.deployment.outputs["ProvidersSecret"])
    assert isinstance(json.loads(secret["SecretString"]), dict)
