"""The description of inference: every path that takes a body, by the shape that judges it."""

from __future__ import annotations

import json

from functions.inference_openapi import TAKES, paths
from shared.manifest import INFERENCE


def test_every_path_of_inference_is_described() -> None:
    """What the manifest lists is there, and nothing else."""
    assert TAKES.keys() == {*INFERENCE}


def test_the_shapes_are_those_that_judge() -> None:
    """Every reference leads somewhere, and what must be sent is told."""
    found, schemas = paths()
    for name in json.dumps([found, schemas]).split("#/components/schemas/")[1:]:
        assert name.partition('"')[0] in schemas
    assert set(schemas["ChatFields"]["required"]) == {"model", "messages"}
    assert set(schemas["MessagesFields"]["required"]) == {"model", "messages", "max_tokens"}
