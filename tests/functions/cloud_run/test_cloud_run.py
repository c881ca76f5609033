"""The GPU service comes to Cloud Run as CloudFormation asks, by the official client, against the API on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from functions.cloud_run import NOTHING, AnswerError, answer, handler, opened, tell
from functions.cloud_run_services import UnderWayError
from shared.core.cloud_run import CloudRun as Wanted
from shared.core.cloud_run import encode
from shared.edge.settings import GoogleSettings
from tests.fakes.cloud_run import ADDRESS, DEPLOYER, NAME, PLACE, PROJECT, REGION, CloudRun
from tests.fakes.google import POOL
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.cloud_run_services import Services

IMAGE = "europe-west4-docker.pkg.dev/our-project/nexus/gpu-service@sha256:" + "a1" * 32
WANTED = Wanted(
    project=PROJECT,
    region=REGION,
    name=NAME,
    image=IMAGE,
    pool=POOL,
    deployer=DEPLOYER,
    invoker="caller@project.iam.gserviceaccount.com",
    account="gpu@our-project.iam.gserviceaccount.com",
    max=3,
    environment={"MODELS": "/opt/models.toml"},
)
OTHER = msgspec.structs.replace(WANTED, image=IMAGE.replace("a1", "b2"))
AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "AWS_REGION": "eu-central-1"}


class Situation:
    """Google on loopback, and a stack that asks."""

    def __init__(self) -> None:
        self.run = CloudRun()
        self.server = Upstream(self.run.answer)
        self.count = 0

    def asks(
        self, kind: str, wanted: Wanted = WANTED, place: str = "", seconds: float = 20, **more: Any
    ) -> dict[str, Any]:
        """Let CloudFormation ask, and return what it is told."""
        event = self.event(kind, wanted, **({"PhysicalResourceId": place} if place else {}), **more)
        return answer(event, self.services, seconds)

    def event(self, kind: str, wanted: Wanted, **more: Any) -> dict[str, Any]:
        """Write down what CloudFormation sends."""
        self.count += 1
        return {
            "RequestType": kind,
            "RequestId": f"request-{self.count}",
            "StackId": "stack",
            "LogicalResourceId": "CloudRunService",
            "ResponseURL": f"{self.server.url}/answers/{self.count}",
            "ResourceProperties": {"ServiceToken": "arn", "Wanted": encode(wanted)},
            **more,
        }

    def services(self, wanted: Wanted) -> Services:
        """Reach Google as the function does, but for its addresses."""
        return opened(wanted, GoogleSettings(self.server.url, self.server.url, self.server.url))

    @property
    def service(self) -> dict[str, Any]:
        """What is at Cloud Run."""
        found: dict[str, Any] = self.run.services[PLACE]
        return found

    def changes(self) -> list[str]:
        """What was made, changed or deleted."""
        return [asked for asked in self.run.asked if not asked.startswith("GET") and "/v2/" in asked]


@pytest.fixture
def situation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Situation]:
    """A project without a service, and the credentials of a function's role."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    made = Situation()
    yield made
    made.server.stop()
    assert made.run.google.faults == []


def test_a_service_is_made_on_a_gpu_and_asleep(situation: Situation) -> None:
    """One L4, all of its CPU while it lives, no instance while idle, and as many as were allowed."""
    told = situation.asks("Create")
    assert (told["Status"], told["PhysicalResourceId"], told["Data"]) == ("SUCCESS", PLACE, {"Address": ADDRESS})
    template = situation.service["template"]
    [container] = template["containers"]
    assert template["nodeSelector"]["accelerator"] == "nvidia-l4"
    assert template["gpuZonalRedundancyDisabled"] is True
    assert (template["scaling"].get("minInstanceCount", 0), template["scaling"]["maxInstanceCount"]) == (0, 3)
    assert template["maxInstanceRequestConcurrency"] == 16
    assert template["serviceAccount"] == WANTED.account
    assert container["image"] == IMAGE
    assert container["resources"]["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}
    assert not container["resources"].get("cpuIdle")
    assert container["startupProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    told_to_it = {variable["name"]: variable["value"] for variable in container["env"]}
    assert told_to_it == {"DEVICE": "cuda", "GPU_SERVICE_AUTH": "platform", "MODELS": "/opt/models.toml"}


def test_only_the_gateways_service_account_may_call_it(situation: Situation) -> None:
    """Set whole, so that whoever was let in by hand is out again."""
    situation.asks("Create")
    assert situation.run.policies[PLACE] == {
        "bindings": [{"role": "roles/run.invoker", "members": [f"serviceAccount:{WANTED.invoker}"]}]
    }


def test_the_functions_role_stands_for_the_deployer(situation: Situation) -> None:
    """Proved to Google as the fake, which checks each signature, wants it; no key of Google's is anywhere."""
    situation.asks("Create")
    assert situation.run.google.asked == ["/v1/token"]
    assert [asked for asked in situation.run.asked if asked.endswith("generateAccessToken")]


def test_an_operation_is_waited_for(situation: Situation) -> None:
    """Until Google says that it is done."""
    situation.run.polls = 2
    assert situation.asks("Create")["Status"] == "SUCCESS"
    assert situation.run.polls == 0


def test_what_takes_longer_than_an_invocation_goes_on_in_the_next(situation: Situation) -> None:
    """The error has Lambda start it again, which finds the service and makes no second revision of it."""
    situation.run.polls = 1_000
    with pytest.raises(UnderWayError):
        situation.asks("Create", seconds=0.2)
    named = situation.service["template"]["revision"]
    situation.run.polls = 0
    assert situation.asks("Create")["Status"] == "SUCCESS"
    assert situation.service["template"]["revision"] == named


def test_one_that_appears_in_the_meantime_is_taken_up(situation: Situation) -> None:
    """Google refuses to make it twice, and it is changed instead."""
    situation.asks("Create")
    situation.run.late = True
    assert situation.asks("Create", OTHER)["Status"] == "SUCCESS"
    assert situation.service["template"]["containers"][0]["image"] == OTHER.image


def test_another_image_is_another_revision_with_all_requests(situation: Situation) -> None:
    """And the same one is the same revision."""
    situation.asks("Create")
    first = situation.service["template"]["revision"]
    situation.asks("Update", msgspec.structs.replace(WANTED, invoker="new@project.iam.gserviceaccount.com"), PLACE)
    assert situation.service["template"]["revision"] == first
    situation.asks("Update", OTHER, PLACE)
    second = situation.service["template"]["revision"]
    assert second != first
    assert [(share["revision"], share["percent"]) for share in situation.service["traffic"]] == [(second, 100)]
    situation.asks("Update", WANTED, PLACE)
    assert situation.service["template"]["revision"] not in {first, second}


def test_a_canary_gets_its_share_and_then_all(situation: Situation) -> None:
    """What has proven itself is not started anew, and the first deployment of all has nothing to share with."""
    careful = msgspec.structs.replace(OTHER, canary=10)
    situation.asks("Create", msgspec.structs.replace(WANTED, canary=10))
    proven = situation.service["template"]["revision"]
    assert situation.service["traffic"][0]["percent"] == 100
    situation.asks("Update", careful, PLACE)
    canary = situation.service["template"]["revision"]
    assert [(s["revision"], s["percent"], s.get("tag", "")) for s in situation.service["traffic"]] == [
        (proven, 90, ""),
        (canary, 10, "canary"),
    ]
    situation.asks("Update", OTHER, PLACE)
    for wanted in (OTHER, careful):
        situation.asks("Update", wanted, PLACE)
        assert [(s["revision"], s["percent"]) for s in situation.service["traffic"]] == [(canary, 100)]


def test_a_container_that_does_not_start_is_told_in_googles_words(situation: Situation) -> None:
    """On one line; the service is there, so that it is deleted with the stack or changed back."""
    situation.run.trouble = "Revision 'x' is not ready.\nThe container failed to start."
    told = situation.asks("Update", WANTED, PLACE)
    assert (told["Status"], told["PhysicalResourceId"]) == ("FAILED", PLACE)
    assert told["Reason"] == (
        f"{PLACE} does not come to serve: Revision 'x' is not ready. The container failed to start."
    )


def test_what_google_refuses_is_told_and_leaves_nothing_to_delete(situation: Situation) -> None:
    """The stack can be rolled back, though the deployer may do nothing at all."""
    situation.run.refusal = "Permission 'run.services.create' denied."
    told = situation.asks("Create")
    assert (told["Status"], told["PhysicalResourceId"]) == ("FAILED", NOTHING)
    assert "Permission 'run.services.create' denied." in told["Reason"]
    asked = len(situation.run.asked)
    assert situation.asks("Delete", place=NOTHING)["Status"] == "SUCCESS"
    assert len(situation.run.asked) == asked


def test_a_change_that_google_refuses_leaves_what_was_there(situation: Situation) -> None:
    """Also where an earlier try has just made it, so that the stack deletes it when it is rolled back."""
    situation.asks("Create")
    situation.run.refusal = "Quota exceeded for nvidia-l4."
    for kind, place in (("Update", PLACE), ("Create", "")):
        told = situation.asks(kind, OTHER, place)
        assert (told["Status"], told["PhysicalResourceId"]) == ("FAILED", PLACE)
        assert told["Reason"].startswith(f"Google refuses to change {PLACE}: ")
        assert "Quota exceeded for nvidia-l4." in told["Reason"]
    assert situation.service["template"]["containers"][0]["image"] == IMAGE


def test_a_role_that_google_does_not_know_is_told(situation: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the first deployment of all will meet it, where the pool was not made."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    told = situation.asks("Create")
    assert (told["Status"], told["PhysicalResourceId"]) == ("FAILED", NOTHING)
    assert "invalid_grant" in told["Reason"]
    assert situation.run.google.faults == ["another signature"]
    situation.run.google.faults.clear()


def test_a_service_of_somebody_else_is_let_alone(situation: Situation) -> None:
    """Neither changed nor deleted, for all that it has the name."""
    situation.run.services[PLACE] = {"name": PLACE, "labels": {"managed-by": "terraform"}}
    told = situation.asks("Create")
    assert (told["Status"], told["PhysicalResourceId"]) == ("FAILED", NOTHING)
    assert "not made by AI-Nexus" in told["Reason"]
    assert situation.asks("Delete", place=PLACE)["Status"] == "SUCCESS"
    assert situation.changes() == []


def test_it_is_deleted_once_and_may_be_deleted_again(situation: Situation) -> None:
    """Who finds it gone is content."""
    situation.asks("Create")
    for _ in range(2):
        assert situation.asks("Delete", place=PLACE)["Status"] == "SUCCESS"
    assert situation.run.services == {}
    assert [asked for asked in situation.changes() if asked.startswith("DELETE")] == [f"DELETE /v2/{PLACE}"]


def test_one_in_another_region_is_another(situation: Situation) -> None:
    """CloudFormation then deletes the one whose id is no longer told."""
    elsewhere = msgspec.structs.replace(WANTED, region="us-east4")
    assert situation.asks("Update", elsewhere, PLACE)["PhysicalResourceId"] == PLACE.replace(REGION, "us-east4")


def test_a_fault_of_our_own_is_answered_too(situation: Situation, capsys: pytest.CaptureFixture[str]) -> None:
    """CloudFormation would wait for an hour without an answer."""
    told = situation.asks("Create", ResourceProperties={})
    assert (told["Status"], told["PhysicalResourceId"]) == ("FAILED", NOTHING)
    assert "KeyError" in told["Reason"]
    assert "KeyError" in capsys.readouterr().err
    told = situation.asks("Create", ResourceProperties={"Wanted": "{}"})
    assert "missing required field `project`" in told["Reason"]


class Context:
    """An invocation that has a minute."""

    def get_remaining_time_in_millis(self) -> int:
        """Count down no further."""
        return 60_000


def test_the_function_does_all_of_it(situation: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the event to the answer that CloudFormation is sent."""
    for name in ("GOOGLE_STS_URL", "GOOGLE_IAM_URL", "GOOGLE_RUN_URL"):
        monkeypatch.setenv(name, situation.server.url)
    handler(situation.event("Create", WANTED), Context())
    [answered] = situation.run.answers
    assert (answered["Status"], answered["Data"]) == ("SUCCESS", {"Address": ADDRESS})
    assert situation.service["template"]["containers"][0]["image"] == IMAGE


def test_the_answer_is_put_where_cloudformation_waits() -> None:
    """With no content type, which its signed address does not allow; one that is not taken is an error."""
    server = Upstream(lambda wire, _request: wire.answer(b""))
    event = {"ResponseURL": f"{server.url}/bucket/key?X-Amz-Signature=abc"}
    tell(event, {"Status": "SUCCESS"})
    [request] = server.requests
    assert (request.method, request.path) == ("PUT", "/bucket/key?X-Amz-Signature=abc")
    assert "content-type" not in request.headers
    assert json.loads(request.body) == {"Status": "SUCCESS"}
    server.script.append(lambda wire, _request: wire.answer(b"", "403 Forbidden"))
    with pytest.raises(AnswerError, match="403"):
        tell(event, {})
    server.stop()
