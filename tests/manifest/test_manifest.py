"""The manifest is consistent in itself: what it names exists, and what follows from it is right."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from shared import grants, manifest
from shared.core import principals
from shared.edge.alerts_settings import AlertsSettings
from shared.edge.batch_settings import BatchesSettings
from shared.edge.settings import (
    AdminSettings,
    AuthorizerSettings,
    BudgetsSettings,
    GatewaySettings,
    SettingsError,
    UsageKeysSettings,
)
from shared.grants import Grant
from shared.manifest import FUNCTIONS, PLANS, ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.parts import Function

SET_BY_LAMBDA = {"AWS_REGION": "eu-central-1", "LAMBDA_TASK_ROOT": "/var/task"}
REPOSITORY = Path(__file__).resolve().parents[2]
EVERY_FUNCTION = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)


class WorkerSettings:
    """What the worker reads: its own, and what the gateways in it do."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> tuple[Any, ...]:
        """Read all."""
        return BatchesSettings.from_env(environment), GatewaySettings.from_env(environment)


@EVERY_FUNCTION
def test_every_handler_is_a_function_of_our_sources(function: Function) -> None:
    """The module of each handler exists and defines it."""
    module, _, name = function.handler.rpartition(".")
    tree = ast.parse((REPOSITORY / module.replace(".", "/")).with_suffix(".py").read_bytes())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@EVERY_FUNCTION
def test_no_function_is_granted_a_wildcard(function: Function) -> None:
    """Each action is one action of one service, and each resource is granted once."""
    actions = [action for grant in function.grants for action in grant.actions]
    assert actions
    assert all(action.count(":") == 1 and "*" not in action for action in actions)
    assert Counter(grant.resource for grant in function.grants).most_common(1)[0][1] == 1


def test_every_url_has_one_owner() -> None:
    """No method of a path stands twice, and each goes to a function that exists."""
    assert Counter((route.method, route.path) for route in ROUTES).most_common(1)[0][1] == 1
    others = {name for name, function in FUNCTIONS.items() if function.every_minutes or function.hears}
    others |= {name for name, function in FUNCTIONS.items() if function.queued}
    assert {route.function for route in ROUTES} == FUNCTIONS.keys() - {manifest.AUTHORIZER} - others


def test_only_health_and_the_way_in_are_open() -> None:
    """A route without a key says whether the gateway lives, gives a token, helps to verify one, or describes itself."""
    health = {"/health", "/health/live", "/health/ready"}
    tokens = {"/auth/token", "/.well-known/jwks.json"}
    assert {route.path for route in ROUTES if route.auth == "none"} == {"/openapi.json"} | health | tokens


def test_every_route_says_what_a_caller_must_be_allowed() -> None:
    """A route with a key names a permission that some role has; an open one names none."""
    allowed = {action for actions in principals.MAY.values() for action in actions}
    for route in ROUTES:
        assert (route.needs is None) == (route.auth == "none"), route
        assert route.needs is None or route.needs in allowed


def test_a_route_streams_where_its_function_does() -> None:
    """The gateway's answers are passed on as they come, and so are files; the administration's are whole."""
    assert {name for name, function in FUNCTIONS.items() if function.streams} == {"gateway", "batches"}


def test_no_function_outlives_what_calls_it() -> None:
    """API Gateway waits 15 minutes for a stream and 29 s for a whole answer; a check may cost no client 10 s."""
    assert FUNCTIONS["gateway"].timeout_s <= 15 * 60
    assert FUNCTIONS["admin"].timeout_s <= 29
    assert FUNCTIONS[manifest.AUTHORIZER].timeout_s <= 10


def test_the_clock_starts_only_what_ends_in_time() -> None:
    """A scheduled function is over before it is started again."""
    clocked = [function for function in FUNCTIONS.values() if function.every_minutes]
    assert [function.name for function in clocked] == ["budgets", "usagekeys"]
    assert all(function.timeout_s < function.every_minutes * 60 for function in clocked)


def test_a_grant_brings_the_address_of_what_it_grants() -> None:
    """A function knows of the stores that it may touch, and of no other."""
    assert set(grants.SET_WITH_GRANT) == set(get_args(grants.Resource))
    assert "PEPPER_SECRET" in FUNCTIONS[manifest.AUTHORIZER].environment
    assert "PEPPER_SECRET" not in FUNCTIONS["gateway"].environment
    assert not {name for name in FUNCTIONS[manifest.AUTHORIZER].environment if name.startswith("VALKEY")}


def test_only_who_writes_may_encrypt() -> None:
    """A reader's key permission is to decrypt; a writer's adds encryption; what is not under the key brings none."""
    assert Grant("directory", ("dynamodb:GetItem", "dynamodb:Query")).key_actions == grants.KEY_FOR_READING
    assert Grant("directory", ("dynamodb:GetItem", "dynamodb:PutItem")).key_actions == grants.KEY_FOR_WRITING
    assert Grant("valkey", ("elasticache:Connect",)).key_actions == ()
    assert "kms:Encrypt" not in FUNCTIONS["gateway"].key_actions


def test_a_dearer_tier_is_never_slower() -> None:
    """Plans rise from free to enterprise, and stay under what an account is given (10,000 a second, 5,000 at once)."""
    assert [plan.tier for plan in PLANS] == ["free", "pro", "enterprise"]
    assert sorted(PLANS, key=lambda plan: (plan.rate, plan.burst)) == list(PLANS)
    assert max(plan.rate for plan in PLANS) <= 10_000
    assert max(plan.burst for plan in PLANS) <= 5_000


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("authorizer", AuthorizerSettings),
        ("gateway", GatewaySettings),
        ("admin", AdminSettings),
        ("batches", BatchesSettings),
        ("batchworker", WorkerSettings),
        ("budgets", BudgetsSettings),
        ("usagekeys", UsageKeysSettings),
        ("alerts", AlertsSettings),
    ],
)
def test_a_function_needs_no_variable_that_it_was_not_promised(name: str, settings: type[Any]) -> None:
    """Its settings can be read from what the manifest and Lambda set, and each address promised is needed for it."""
    promised = dict.fromkeys(FUNCTIONS[name].environment, "some-text") | SET_BY_LAMBDA
    promised |= {"LONGEST_LEASE": "905", "LOG_DELAY": "30"} if "LONGEST_LEASE" in promised else {}
    promised |= {"USAGE_PLANS": "free=a1,pro=b2"} if "USAGE_PLANS" in promised else {}
    promised |= {"VALKEY_PORT": "6379", "VALKEY_TLS": "true"} if "VALKEY_PORT" in promised else {}
    promised |= {"WEBHOOKS_TO_LOOPBACK": "false"} if "WEBHOOKS_TO_LOOPBACK" in promised else {}
    assert settings.from_env(promised)
    for variable in FUNCTIONS[name].environment & {
        "AUDIT_TABLE",
        "BATCHES_TABLE",
        "BATCH_BUCKET",
        "BATCH_QUEUE",
        "DIRECTORY_TABLE",
        "GATEWAY_LOG",
        "LEDGER_TABLE",
        "LOG_DELAY",
        "LONGEST_LEASE",
        "OPERATORS_TOPIC",
        "PEPPER_SECRET",
        "PROVIDERS_SECRET",
        "USAGE_KEY_PREFIX",
        "USAGE_PLANS",
        "VALKEY_HOST",
        "WEBHOOKS_TO_LOOPBACK",
    }:
        without = {key: value for key, value in promised.items() if key != variable}
        with pytest.raises(SettingsError, match=variable):
            settings.from_env(without)
