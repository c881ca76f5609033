"""The image runs commands that exist: no docker engine tells, so the file is read."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_service import cli, driver, specs
from gpu_service.guard import check_guard
from gpu_service.settings import Settings
from shared.edge.settings import SettingsError
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
    """The build command parses, and what it makes is what the packaged models.toml serves."""
    runs = [
        line.split("-m gpu_service ")[1].split(" && ")[0] for line in instructions("RUN") if "-m gpu_service " in line
    ]
    options = [cli.parser().parse_args(shlex.split(run)) for run in runs]
    settings = Settings.from_env(environment())

    made = {name for name, spec in specs.load(settings.models).items() if spec.weights}
    assert {one.model for one in options} == made
    assert [one.out for one in options] == [None]
    assert environment()["MODEL_STORE"] == str(settings.store)


def test_the_environment_is_understood() -> None:
    """Telemetry is off in the image, and the service listens on every interface, on the platform's port."""
    settings = Settings.from_env(environment() | {"PORT": "9000"})

    assert environment()["ORT_DISABLE_TELEMETRY"] == "1"
    assert (settings.host, settings.port, settings.model_dir) == ("0.0.0.0", 9000, None)  # noqa: S104 - it is a container


def test_callers_are_checked() -> None:
    """SageMaker checks them itself; elsewhere the image asks for a token before it serves."""
    check_guard(Settings.from_env(environment()))
    check_guard(Settings.from_env(environment() | {"GPU_SERVICE_AUTH": "", "GPU_SERVICE_TOKEN": "t"}))
    with pytest.raises(SettingsError, match="set GPU_SERVICE_TOKEN"):
        check_guard(Settings.from_env(environment() | {"GPU_SERVICE_AUTH": ""}))


@pytest.mark.parametrize(
    ("flavour", "runtime"), [("cpu", ""), ("cuda13", "onnxruntime-gpu[cuda,cudnn]==1.31.1"), ("cuda12", driver.CUDA_12)]
)
def test_every_flavour_has_its_runtime(flavour: str, runtime: str) -> None:
    """A stage per flavour, the CPU's by default; where there is a GPU its wheel takes the place of the other."""
    stage = LINES.index(f"FROM parts AS parts-{flavour}")
    own = " ".join(itertools.takewhile(lambda line: not line.startswith("FROM"), LINES[stage + 1 :]))

    assert "FROM parts-${FLAVOUR} AS chosen" in LINES
    assert "ARG FLAVOUR=cpu" in LINES
    assert own.replace("[cuda,cudnn]", "").count(runtime.replace("[cuda,cudnn]", "") or "uv") == bool(runtime)
    assert ("uninstall" in own) == bool(runtime)


def test_the_file_keeps_the_rules_of_such_files() -> None:
    """Known stages alone, no ADD, no cache left behind, pinned tools, exec form: what hadolint would look for."""
    stages = {line.rpartition(" AS ")[2] for line in instructions("FROM") if " AS " in line}
    bases = {line.partition(" ")[0] for line in instructions("FROM")}
    pins = [
        word for line in instructions("RUN") for word in shlex.split(line) if word.startswith(("uv=", "onnxruntime-"))
    ]
    version = re.search(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert bases - stages == {"${BASE}", "parts-${FLAVOUR}"}
    assert all(
        line.startswith("#") or re.match(r"(ARG|FROM|WORKDIR|RUN|COPY|ENV|EXPOSE|USER|ENTRYPOINT|CMD) ", line)
        for line in LINES
        if line
    )
    assert all("--no-cache" in line for line in instructions("RUN") if " install " in f" {line}")
    assert all("==" in pin for pin in pins)
    assert version
    assert f"uv=={version[1]}" in pins


def test_hadolint_finds_nothing() -> None:
    """Not even what it would merely inform of; the two lines that it is told to pass over say why beside them."""
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, "--no-color", "gpu_service/Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_by_digest() -> None:
    """By a whole version and the digest of its index, which holds every platform's image."""
    (base,) = [line for line in instructions("ARG") if line.startswith("BASE=")]

    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)


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
    assert instructions("USER") == ["65532", "0"]
