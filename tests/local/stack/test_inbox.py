"""A file that is laid into the template's bucket: S3 tells the queue, and the worker's role reaches what it takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.deploy import deploy
from functions.batch_inbox import told
from functions.batch_objects import Objects
from tests.local.stack.test_emulator import PLACE, Stack, role_of, run_emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAY = "inbox/default-oursoursours/my file+1.jsonl"


@pytest.fixture(scope="module")
def stack(template: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The template, deployed."""
    running = run_emulator(tmp_path_factory.mktemp("emulator"))
    try:
        yield Stack(running, deploy(running, template, PLACE))
    finally:
        running.child.stop()


@pytest.fixture(scope="module")
def variables(stack: Stack) -> dict[str, str]:
    """What the worker finds in its environment."""
    functions = stack.deployment.of_type("AWS::Lambda::Function").values()
    found = [one["Environment"]["Variables"] for one in functions]
    [worker] = [one for one in found if one["POWERTOOLS_SERVICE_NAME"] == "batchworker"]
    return dict(worker)


def received(stack: Stack, queue: str) -> list[dict[str, Any]]:
    """Take what lies in the queue."""
    sqs = stack.emulator.client("sqs")
    found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in found]


def test_s3_tells_the_queue_of_files_in_the_inbox(stack: Stack, variables: dict[str, str]) -> None:
    """Of those that end as they should, and of no others; what the worker makes of it is the file itself, once."""
    queue, bucket, s3 = variables["BATCH_QUEUE"], variables["BATCH_BUCKET"], stack.emulator.client("s3")
    [tested] = received(stack, queue)
    assert (tested["Event"], told(tested, bucket)) == ("s3:TestEvent", [])
    for key in ("inbox/x.json", "orgs/default/x.jsonl", "outbox/x.jsonl", TRAY):
        s3.put_object(Bucket=bucket, Key=key, Body=b"first")
    [message] = received(stack, queue)
    [laid] = told(message, bucket)
    assert (laid.tray, laid.size, laid.key_id, laid.name) == (TRAY, 5, "default-oursoursours", "my file+1.jsonl")
    assert laid.outbox == "outbox/default-oursoursours/my file+1"
    assert told(message, "another") == []

    objects = Objects(stack.emulator.client("s3", role_of(stack, "batchworker")), bucket)
    assert objects.fetch(laid.tray, laid.etag) == b"first"
    s3.put_object(Bucket=bucket, Key=TRAY, Body=b"second")
    [again] = told(received(stack, queue)[0], bucket)
    assert objects.fetch(laid.tray, laid.etag) is None
    objects.clear(laid.tray, laid.etag)  # which must not take what was laid over it
    assert objects.fetch(again.tray, again.etag) == b"second"
    assert again.id("file-") != laid.id("file-")
    objects.put("default", "files/file-1", b"third")
    objects.hand_out("default", "files/file-1", f"{laid.outbox}.output.jsonl")
    assert s3.get_object(Bucket=bucket, Key=f"{laid.outbox}.output.jsonl")["Body"].read() == b"third"
    for _ in range(2):
        objects.clear(again.tray, again.etag)
        objects.clear(f"{laid.outbox}.output.jsonl")
    assert objects.fetch(again.tray, again.etag) is None
