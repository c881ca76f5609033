"""The app synthesizes once for a state of its sources, obeys the rules it claims to obey, and fails with a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdk import synth
from cdk.bundle import ROOT
from cdk.config import Config
from cdk.node import node

if TYPE_CHECKING:
    from collections.abc import Mapping

# Runs the app with every excuse withdrawn.
WITHOUT_EXCUSES = """
import sys, cdk.app, cdk.node, os
os.environ["JSII_NODE"] = cdk.node.node()
import cdk.constructs.excuses as excuses
excuses.excuse = lambda *_: None
sys.exit(cdk.app.main())
"""


def app(*arguments: str, context: Mapping[str, object], into: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with `arguments`, as the CDK CLI would run the app."""
    quick = {"nexus:target": "host", "aws:cdk:disable-asset-staging": True}
    environment = {
        **os.environ,
        "CDK_CONTEXT_JSON": json.dumps({**quick, **context}),
        "CDK_OUTDIR": str(into),
        "CDK_VALIDATION": "false",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_second_caller_gets_the_first_ones_result(assembly: Path) -> None:
    """An unchanged app is not synthesized again."""
    made = (assembly / "manifest.json").stat().st_mtime_ns
    again = synth.synthesize(Config(target="host", openai_base_url="https://openai.example/v1"))
    assert again == assembly
    assert (again / "manifest.json").stat().st_mtime_ns == made


def test_folders_that_nobody_uses_any_more_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many states the latest stay, and whatever was asked for within the hour: somebody may be reading it."""
    monkeypatch.setattr(synth, "BUILD", tmp_path)
    parent = tmp_path / "synth"
    for number in range(20):
        (parent / str(number)).mkdir(parents=True)
        hours = 5 if number < 10 else 0.5
        os.utime(parent / str(number), (number, time.time() - hours * 3600 + number))
    monkeypatch.setattr(synth, "_run", lambda _config, folder, validate: folder.mkdir())  # noqa: ARG005 - as it is called
    made = synth.synthesize(Config(target="host"))
    assert {folder.name for folder in parent.iterdir()} == {str(number) for number in range(10, 20)} | {made.name}


def test_every_zip_is_found_from_the_template(assembly: Path) -> None:
    """The key under which a function's code would lie in S3 leads to the folder that would be zipped."""
    folders = synth.assets(assembly)
    resources = synth.template(assembly)["Resources"].values()
    functions = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::Lambda::Function"]
    for function in functions:
        module = function["Handler"].rpartition(".")[0].replace(".", "/")
        assert (folders[function["Code"]["S3Key"]] / f"{module}.py").exists()
    assert len(folders) == 2


def test_cfn_lint_is_content(assembly: Path) -> None:
    """No error and no warning but the one kind that the template itself excuses."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(assembly / f"{synth.STACK}.template.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_rules_are_alive(tmp_path: Path) -> None:
    """cdk-nag refuses the same stack where the excuses are withdrawn, so that the synthesis proves something."""
    done = app("-c", WITHOUT_EXCUSES, context={}, into=tmp_path)
    assert done.returncode != 0
    for rule in ("AwsSolutions-SMG4", "AwsSolutions-APIG2", "AwsSolutions-COG4", "AwsSolutions-IAM5[Resource::arn:"):
        assert rule in done.stdout + done.stderr


def test_every_switch_off_still_obeys_the_rules(tmp_path: Path) -> None:
    """Without firewall and logging role, in a fixed region, with reservations, the app synthesizes clean."""
    context = {
        "nexus:waf": "false",
        "nexus:account_log_role": "false",
        "nexus:retain_data": "false",
        "nexus:region": "eu-central-1",
        "nexus:reserved_concurrency": {"authorizer": 100, "gateway": 800},
    }
    done = app("-m", "cdk.app", context=context, into=tmp_path)
    assert done.returncode == 0, done.stderr
    template = synth.template(tmp_path)["Resources"]
    kinds = {resource["Type"] for resource in template.values()}
    assert not kinds & {"AWS::WAFv2::WebACL", "AWS::WAFv2::IPSet", "AWS::ApiGateway::Account"}
    assert not {word for word in ("IP_SETS", "wafv2:") if word in json.dumps(template)}
    functions = [
        resource["Properties"] for resource in template.values() if resource["Type"] == "AWS::Lambda::Function"
    ]
    assert sorted(filter(None, (f.get("ReservedConcurrentExecutions") for f in functions))) == [100, 800]
    assert "Retain" not in {resource.get("DeletionPolicy") for resource in template.values()}


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"nexus:wafe": True}, "nexus:wafe: is not a field here (is nexus:waf meant?); the fields are nexus:stage,"),
        ({"nexus:catalog": "shared/data/none.toml"}, "none.toml"),
    ],
)
def test_a_wrong_setting_ends_in_a_sentence(context: dict[str, object], words: str, tmp_path: Path) -> None:
    """The app says what is wrong and shows no traceback."""
    done = app("-m", "cdk.app", context=context, into=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("nexus: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_node_comes_with_the_environment() -> None:
    """CDK's engine runs on the Node.js of our own packages, so a machine needs none."""
    assert subprocess.run([node(), "--version"], capture_output=True, text=True, check=True).stdout.startswith("v24.")
