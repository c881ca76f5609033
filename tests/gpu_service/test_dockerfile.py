"""The image runs commands that exist: no docker engine tells, so the file is read."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from gpu_service import cli
from gpu_service.settings import Settings
from tests.gpu_service.process import ROOT

LINES = re.sub(r"\\\n\s*", "", (ROOT / "gpu_service" / "Dockerfile").read_text()).splitlines()


def instructions(name: str) -> list[str]:
    """The arguments of every instruction `name`, in order, continuation lines joined."""
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def environment() -> dict[str, str]:
    """What ENV sets in the end."""
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def test_the_entry_point_is_a_command_of_ours() -> None:
    """Exec form, so that SIGTERM reaches the service; `serve` is an argument, as SageMaker gives it."""
    entry, command = (json.loads(instructions(name)[0]) for name in ("ENTRYPOINT", "CMD"))

    assert entry == ["python", "-m", "gpu_service"]
    assert command == ["serve"]
    assert cli.parser().parse_args(command).command == "serve"


def test_the_model_is_built_where_it_is_served() -> None:
    """The build command parses, and its output is MODEL_DIR."""
    runs = [line.split("-m gpu_service ")[1] for line in instructions("RUN") if "-m gpu_service " in line]

    assert [str(cli.parser().parse_args(shlex.split(run)).out) for run in runs] == [environment()["MODEL_DIR"]]


def test_the_environment_is_understood() -> None:
    """Telemetry is off in the image, and the service listens on every interface, on the platform's port."""
    settings = Settings.from_env(environment() | {"PORT": "9000"})

    assert environment()["ORT_DISABLE_TELEMETRY"] == "1"
    assert (settings.host, settings.port, str(settings.model_dir)) == ("0.0.0.0", 9000, environment()["MODEL_DIR"])  # noqa: S104 - it is a container


def test_what_is_copied_exists() -> None:
    """Every source of a COPY from the repository is in the repository."""
    copied = [shlex.split(line)[:-1] for line in instructions("COPY") if not line.startswith("--from")]

    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
    assert len(copied) == 3


@pytest.mark.parametrize("stage", ["service", "sagemaker"])
def test_the_stages_that_others_name_exist(stage: str) -> None:
    """`--target service` and `--target sagemaker`; the default is the first, which is not root."""
    assert any(line.endswith(f" AS {stage}") for line in instructions("FROM"))
    assert instructions("FROM")[-1] == "service"
    assert instructions("USER") == ["65532", "root"]
