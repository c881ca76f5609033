"""Deploys the synthesized template: its data and its roles to the emulator, the rest to parts that stand in.

Every start deploys anew, to an empty emulator that fills itself from the journal, so that a changed template needs no
migration here. The emulator resolves what it deploys; what the other parts need of it comes back as stack outputs.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdk.local.child import LocalError
from cdk.local.emulator import ACCOUNT, REGION
from cdk.local.substitutions import URL_SUFFIX, Emulated, Place, Substituted, rule
from cdk.local.template import Resolver, TemplateError, references, substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdk.local.emulator import Emulator
    from cdk.local.substitutions import Text

STACK: Final = "nexus-local"
DEPLOY_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05
PSEUDO: Final = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": URL_SUFFIX,
}
_SECRET: Final = "AWS::SecretsManager::Secret"  # noqa: S105 - the name of a resource type

Resources = dict[str, dict[str, Any]]


class Deployment(NamedTuple):
    """A template in service: its resources, what its references mean, and its outputs."""

    resources: Resources
    resolve: Resolver
    outputs: Mapping[str, str]

    def of_type(self, type_name: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the properties, resolved, of every resource of a type."""
        return {
            logical_id: self.resolve(resource.get("Properties", {}))
            for logical_id, resource in self.resources.items()
            if resource["Type"] == type_name
        }


class Plan(NamedTuple):
    """What to send to the emulator, and which references it has to answer (output name to reference)."""

    body: dict[str, Any]
    asked: Mapping[str, str]
    answered: Mapping[str, str]


def deploy(emulator: Emulator, template: Mapping[str, Any], place: Place) -> Deployment:
    """Deploy `template`; whatever refuses is a LocalError that names the resource and the reason."""
    resources = wanted(template)
    plan = split(template, resources, place)
    stack_id = _create(emulator, json.dumps(plan.body, separators=(",", ":")))
    values = _outputs(emulator, stack_id)
    known = {
        **plan.answered,
        "AWS::StackId": stack_id,
        **{reference: values[name] for name, reference in plan.asked.items()},
    }
    resolve = Resolver(template, known)
    outputs = {name: str(resolve(output["Value"])) for name, output in template.get("Outputs", {}).items()}
    return Deployment(resources, resolve, outputs)


def wanted(template: Mapping[str, Any]) -> Resources:
    """Return the resources whose condition, if they have one, holds."""
    resolver = Resolver(template, {**PSEUDO, **_parameters(template)})
    return {
        logical_id: resource
        for logical_id, resource in template["Resources"].items()
        if "Condition" not in resource or resolver.holds(resource["Condition"])
    }


def split(template: Mapping[str, Any], resources: Resources, place: Place) -> Plan:
    """Divide the resources between the emulator and the stand-ins."""
    divided = _Division(template, resources, place)
    body = {name: divided.rewritten(name) for name in resources if divided.is_emulated(name)}
    others = [resource.get("Properties", {}) for name, resource in resources.items() if name not in body]
    mentioned = references([others, template.get("Outputs", {})])
    names = sorted({name for name in mentioned if name.split(".")[0] in body})
    asked = {f"Answer{number}": name for number, name in enumerate(names)}
    outputs = {name: {"Value": divided.question(reference)} for name, reference in asked.items()}
    return Plan({"Resources": body, "Outputs": outputs}, asked, divided.answered)


class _Division:
    """Who serves which resource, and what the stand-ins answer for theirs."""

    def __init__(self, template: Mapping[str, Any], resources: Resources, place: Place) -> None:
        self._resources = resources
        self._rules = {name: rule(name, resource["Type"]) for name, resource in resources.items()}
        self._secrets = {
            name: {"Fn::GetAtt": [name, "Id"]}  # the emulator's Ref of a secret is its name, where AWS gives its ARN
            for name, resource in resources.items()
            if resource["Type"] == _SECRET
        }
        self.answered = {**PSEUDO, **_parameters(template)}
        resolve = Resolver(template, self.answered)
        for name, treatment in self._rules.items():
            if isinstance(treatment, Substituted):
                answers = treatment.answers(name, _texts(resolve, resources[name].get("Properties", {})), place)
                self.answered |= {f"{name}.{key}".removesuffix("."): value for key, value in answers.items()}

    def is_emulated(self, name: str) -> bool:
        return isinstance(self._rules.get(name), Emulated)

    def rewritten(self, name: str) -> dict[str, Any]:
        """Return a resource as the emulator shall get it."""
        resource, treatment = self._resources[name], self._rules[name]
        properties = resource.get("Properties", {})
        if isinstance(treatment, Emulated):
            properties = treatment.rewrite(name, properties)
        depends = resource.get("DependsOn", [])
        return {
            "Type": resource["Type"],
            "Properties": substitute(properties, {**self.answered, **self._secrets}),
            "DependsOn": [
                other for other in ([depends] if isinstance(depends, str) else depends) if self.is_emulated(other)
            ],
        }

    def question(self, reference: str) -> dict[str, Any]:
        """Ask the emulator for what `reference` means."""
        name, _, attribute = reference.partition(".")
        return {"Fn::GetAtt": [name, attribute]} if attribute else self._secrets.get(name, {"Ref": name})


def _texts(resolve: Resolver, properties: Mapping[str, Any]) -> Text:
    return lambda name: str(resolve(properties[name]))


def _parameters(template: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, parameter in template.get("Parameters", {}).items():
        if "Default" not in parameter:
            raise TemplateError(f"The template's parameter {name} has no default, and the local run asks nobody.")
        found[name] = str(parameter["Default"])
    return found


def _create(emulator: Emulator, body: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see emulator._session

    try:
        answer = emulator.cloudformation.create_stack(
            StackName=STACK, TemplateBody=body, Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
        )
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"The emulator refused the template: {error}") from error
    return answer["StackId"]


def _outputs(emulator: Emulator, stack_id: str) -> Mapping[str, str]:
    deadline = time.monotonic() + DEPLOY_SECONDS
    while True:
        (stack,) = emulator.cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > deadline:
            raise LocalError(f"The template was not deployed: {_reason(emulator, stack_id)}")
        time.sleep(POLL_SECONDS)


def _reason(emulator: Emulator, stack_id: str) -> str:
    """Return what the first resource that failed has to say."""
    events = emulator.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    failed = [event for event in reversed(events) if event.get("ResourceStatus", "").endswith("FAILED")]
    if not failed:
        return "the emulator gave no reason"
    return f"{failed[0].get('LogicalResourceId')}: {failed[0].get('ResourceStatusReason', 'no reason given')}"
