"""Each key's own API Gateway key: made, moved and removed with it, whatever fails in between, against an emulator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cdk.local import emulator
from functions.enrolments import Enrolments
from functions.usage_keys import DAY, REFUSED_SECONDS, Registrar
from functions.usage_plans import UsagePlans
from shared.core.enrolment import FORGOTTEN_SECONDS, SPREAD_SECONDS, Enrolment, usage_key
from shared.edge.directory import Directory, record
from tests.fakes.patience import dynamodb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.functions.control.rig import House

STACK = "11112222-3333-4444-5555-666677778888"
TIERS = ("free", "pro", "enterprise")


class Gate:
    """The API Gateway of an account, and the function that keeps the usage plans in it."""

    def __init__(self, house: House, client: Any) -> None:
        self.house = house
        self.client = client
        self.aws = dynamodb(house.table.meta.client.meta.endpoint_url)
        self.plans = {tier: self.client.create_usage_plan(name=tier)["id"] for tier in TIERS}
        self.said: list[Mapping[str, Any]] = []

    def registrar(self, client: Any = None, prefix: str = STACK) -> Registrar:
        """The function, of a stack."""
        directory = Directory(self.aws, self.house.table.name)
        chosen: Any = client or Strict(self.client)
        plans = UsagePlans(chosen, self.plans)
        enrolments = Enrolments(self.aws, self.house.table.name, directory)
        return Registrar(enrolments, directory, plans, prefix, self.said.append, lambda: self.house.now)

    def work(self, after: float = 0, **more: Any) -> None:
        """Start the function, some seconds later."""
        self.house.now += after
        self.registrar(**more).work(lambda: 58_000)

    def keys(self) -> dict[str, str]:
        """The account's API keys: value to the tier in whose plan it is, "" for none."""
        members = {
            key["value"]: tier
            for tier, plan in self.plans.items()
            for key in self.client.get_usage_plan_keys(usagePlanId=plan)["items"]
        }
        found = self.client.get_api_keys(includeValues=True, limit=500)["items"]
        return {key["value"]: members.get(key["value"], "") for key in found}

    def named(self, key_id: str, prefix: str = STACK) -> str:
        """What the authorizer names for a key now."""
        known = Directory(self.aws, self.house.table.name).key("default", key_id)
        assert known
        return usage_key(prefix, key_id, known.tier, known.enrolment, self.house.now)


class Strict:
    """A client of the emulator's API Gateway that refuses what AWS refuses and the emulator does not."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, action: str) -> Any:
        """Pass on."""
        return getattr(self.client, action)

    def create_api_key(self, **request: Any) -> Any:
        """No two have one value."""
        if any(key["value"] == request["value"] for key in self._keys()):
            raise refused("create_api_key", "ConflictException", 409)
        return self.client.create_api_key(**request)

    def create_usage_plan_key(self, **request: Any) -> Any:
        """A key must be there, and is in one plan of a stage at most."""
        if request["keyId"] not in {key["id"] for key in self._keys()}:
            raise refused("create_usage_plan_key", "NotFoundException", 404)
        if any(request["keyId"] in self._members(plan["id"]) for plan in self.client.get_usage_plans()["items"]):
            raise refused("create_usage_plan_key", "ConflictException", 409)
        return self.client.create_usage_plan_key(**request)

    def delete_usage_plan_key(self, **request: Any) -> Any:
        """Only what is in a plan can be taken out."""
        if request["keyId"] not in self._members(request["usagePlanId"]):
            raise refused("delete_usage_plan_key", "NotFoundException", 404)
        return self.client.delete_usage_plan_key(**request)

    def _keys(self) -> Any:
        return self.client.get_api_keys(includeValues=True, limit=500)["items"]

    def _members(self, plan: str) -> set[str]:
        return {key["id"] for key in self.client.get_usage_plan_keys(usagePlanId=plan)["items"]}


class Failing(Strict):
    """One that refuses an action every time."""

    def __init__(self, client: Any, action: str, code: str) -> None:
        super().__init__(client)
        self.refused = 0

        def refuse(**_request: Any) -> None:
            self.refused += 1
            raise refused(action, code, 429)

        setattr(self, action, refuse)


def refused(action: str, code: str, status: int) -> ClientError:
    """A refusal, as botocore reads it."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, action)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of an emulator's API Gateway."""
    folder = tmp_path_factory.mktemp("emulator")
    running = asyncio.run(emulator.start(folder, folder / "log"))
    made = running.client("apigateway")
    yield made
    made.close()
    running.child.stop()


@pytest.fixture
def gate(house: House, client: Any) -> Iterator[Gate]:
    """An empty account."""
    made = Gate(house, client)
    yield made
    made.aws.drop()
    for key in client.get_api_keys(limit=500)["items"]:
        client.delete_api_key(apiKey=key["id"])
    for plan in made.plans.values():
        client.delete_usage_plan(usagePlanId=plan)


def own(key_id: str) -> str:
    """The value of a key's own API Gateway key."""
    return f"{STACK}-{key_id}"


def test_a_new_key_gets_its_own_within_a_minute_and_counts_against_it_once_it_is_known(
    house: House, gate: Gate
) -> None:
    """Until API Gateway surely knows it everywhere, the tier's shared one is named; the key's version stays."""
    made = house.make(tier="pro")
    assert gate.keys() == {}
    gate.work()
    assert gate.keys() == {own(made["id"]): "pro"}
    assert gate.named(made["id"]) == f"{STACK}-pro"
    house.now += SPREAD_SECONDS
    assert gate.named(made["id"]) == own(made["id"])
    shown = house.call("GET", f"/admin/keys/{made['id']}").body
    assert shown["version"] == 1
    assert shown["api_gateway_key"] == gate.client.get_api_keys()["items"][0]["id"]
    assert house.stored("enrol#") == []
    assert gate.said == [{"level": "INFO", "event": "enrolment", "done": 1, "refused": []}]


def test_a_key_of_another_tier_moves_when_nobody_remembers_the_old_one(house: House, gate: Gate) -> None:
    """At once the new tier's shared key is named; the own one moves after the authorizers' memory has ended."""
    made = house.make(tier="free")
    gate.work()
    house.now += SPREAD_SECONDS
    house.call("PATCH", f"/admin/keys/{made['id']}", {"tier": "pro"})
    assert gate.named(made["id"]) == f"{STACK}-pro"
    gate.work(after=FORGOTTEN_SECONDS - 1)
    assert gate.keys() == {own(made["id"]): "free"}  # whom an authorizer that remembers still names
    gate.work(after=1)
    assert gate.keys() == {own(made["id"]): "pro"}
    assert gate.named(made["id"]) == f"{STACK}-pro"
    house.now += SPREAD_SECONDS
    assert gate.named(made["id"]) == own(made["id"])


@pytest.mark.parametrize("how", ["revoke", "erase", "expire"])
def test_a_key_that_ends_takes_its_own_with_it(how: str, house: House, gate: Gate) -> None:
    """Revoked or of an erased person: within minutes; expired: by the daily look at all keys."""
    house.call("POST", "/admin/users", {"id": "ada", "name": "Ada"})
    made = house.make(user="ada", expires_days=1)
    gate.work()
    if how == "revoke":
        house.call("DELETE", f"/admin/keys/{made['id']}")
    if how == "erase":
        house.call("POST", "/admin/users/ada/erase")
    gate.work(after=FORGOTTEN_SECONDS if how != "expire" else DAY)
    assert gate.keys() == {}
    assert "enrolment" not in house.stored("key#")[0]
    assert house.stored("enrol#") == []


def test_a_key_that_was_made_before_and_noted_nowhere_is_found(house: House, gate: Gate) -> None:
    """Once a day all keys are looked at; an API key whose name is of nobody goes, other people's stay."""
    made = house.make()
    for item in house.stored("enrol#"):
        house.table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})
    foreign = "someone-elses-api-key-0001"
    for value in (own("default-nobodynobody"), f"{STACK}-free", foreign):
        gate.client.create_api_key(name=value, value=value, enabled=True)
    gate.work(after=FORGOTTEN_SECONDS + 1)
    assert gate.keys() == {own(made["id"]): "free", f"{STACK}-free": "", foreign: ""}
    swept = len(gate.said)
    gate.work(after=DAY - 1)
    assert len(gate.said) == swept


def test_what_somebody_deleted_by_hand_is_made_again(house: House, gate: Gate) -> None:
    """The next daily look finds it missing."""
    made = house.make()
    gate.work()
    gate.client.delete_api_key(apiKey=gate.client.get_api_keys()["items"][0]["id"])
    gate.work(after=DAY)
    assert gate.keys() == {own(made["id"]): "free"}


def test_a_new_stack_makes_its_own_and_trusts_no_other(house: House, gate: Gate) -> None:
    """The table may outlive a stack: what was enrolled in that one's plans is never named."""
    made = house.make()
    gate.work(prefix="99992222-3333-4444-5555-666677778888")
    house.now += SPREAD_SECONDS
    assert gate.named(made["id"]) == f"{STACK}-free"
    gate.work()
    assert gate.keys()[own(made["id"])] == "free"


def test_a_full_account_leaves_keys_with_the_shared_one_and_holds_up_nobody(house: House, gate: Gate) -> None:
    """Refused creations come back in an hour; a key that moves meanwhile moves."""
    moving = house.make(tier="free")
    gate.work()
    house.now += SPREAD_SECONDS
    house.call("PATCH", f"/admin/keys/{moving['id']}", {"tier": "pro"})
    made = [house.make()["id"] for _ in range(3)]
    full = Failing(gate.client, "create_api_key", "LimitExceededException")
    gate.work(after=FORGOTTEN_SECONDS, client=full)
    assert gate.keys() == {own(moving["id"]): "pro"}
    assert full.refused == 3
    assert gate.said[-1]["refused"] == ["API Gateway, create_api_key: LimitExceededException"]
    gate.work(client=full)
    assert full.refused == 3
    assert {gate.named(key_id) for key_id in made} == {f"{STACK}-free"}
    gate.work(after=REFUSED_SECONDS)
    assert gate.keys().keys() == {own(key_id) for key_id in (*made, moving["id"])}


@pytest.mark.parametrize(
    "action",
    ["create_api_key", "create_usage_plan_key", "delete_usage_plan_key", "delete_api_key"],
)
def test_whatever_is_throttled_is_done_a_minute_later(action: str, house: House, gate: Gate) -> None:
    """A run that was stopped anywhere leaves a note, and its repetition comes to the same."""
    stays, goes = house.make(tier="free"), house.make(tier="free")
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: house.call("PATCH", f"/admin/keys/{stays['id']}", {"tier": "pro"}),
        lambda: house.call("DELETE", f"/admin/keys/{goes['id']}"),
    ]
    for step in steps:
        step()
        gate.work(after=FORGOTTEN_SECONDS, client=Failing(gate.client, action, "TooManyRequestsException"))
        gate.work(after=60)
        assert house.stored("enrol#") == []
    assert gate.keys() == {own(stays["id"]): "pro"}
    [kept] = [item for item in house.stored("key#") if not item["revoked"]]
    found = record({**kept, "version": 1}).enrolment
    assert isinstance(found, Enrolment)
    assert found.tier == "pro"


def test_an_edit_and_an_enrolment_that_cross_lose_neither(house: House, gate: Gate) -> None:
    """Each is written only over what it has read of the other."""
    made = house.make(tier="free")
    find = house.registry.find

    def between(org: str, name: str) -> Any:
        found = find(org, name)
        if name == f"key#{made['id']}" and found and "enrolment" not in found:
            gate.work()
        return found

    house.registry.find = between  # type: ignore[method-assign]
    assert house.call("PATCH", f"/admin/keys/{made['id']}", {"name": "renamed"}).status == 200
    [item] = house.stored("key#")
    assert (item["name"], item["enrolment"]["tier"]) == ("renamed", "free")
