"""A zip runs on what is inside it, weighs little, is named after its content, and says why it cannot be built."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cdk import bundle, dependencies, sources
from cdk.bundle import ROOT, BundleError
from shared.manifest import FUNCTIONS

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = b'{"version":"test"}'
BUNDLES = sorted({function.bundle for function in FUNCTIONS.values()})


@pytest.fixture(scope="module", params=BUNDLES)
def folder(request: pytest.FixtureRequest) -> Path:
    """A bundle for this machine."""
    return bundle.build(request.param, "host", CATALOG)


def handlers(folder: Path) -> list[str]:
    """Name the modules that Lambda would start from `folder`."""
    kind = folder.name.partition("-")[0]
    return [function.handler.rpartition(".")[0] for function in FUNCTIONS.values() if function.bundle == kind]


def test_a_zip_runs_on_nothing_but_itself(folder: Path) -> None:
    """Without site-packages and from its own folder, the start script's module and every handler import."""
    names = [bundle.RUNTIME, *handlers(folder)]
    code = f"import sys, {', '.join(names)}\nfor m in [*sys.modules.values()]: print(getattr(m, '__file__', '') or '')"
    environment = {"PYTHONPATH": str(folder), "PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(folder)}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    foreign = [file for file in done.stdout.split() if not file.startswith((str(folder), sys.base_prefix))]
    assert not foreign


def test_the_start_script_and_the_catalog_are_at_its_root(folder: Path) -> None:
    """Lambda executes the one, and the functions read the other beside it."""
    assert os.access(folder / "bootstrap", os.X_OK)
    assert (folder / "bootstrap").read_bytes() == (ROOT / bundle.BOOTSTRAP).read_bytes()
    assert (folder / "catalog.json").read_bytes() == CATALOG


def test_its_bytecode_is_compiled_and_never_checked(folder: Path) -> None:
    """Each module of ours has a .pyc of PEP 552's unchecked kind, so a cold start neither compiles nor stats."""
    sources_of_ours = [path for top in ("functions", "shared") for path in (folder / top).rglob("*.py")]
    assert sources_of_ours
    for source in sources_of_ours:
        [compiled] = (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 0b01


def test_it_carries_no_weight_and_every_licence(folder: Path) -> None:
    """No installer's records, no tests, no stubs; but each package's licence and its version."""
    names = [path.relative_to(folder) for path in folder.rglob("*")]
    assert not [name for name in names if name.name in {"RECORD", "INSTALLER"} or name.suffix == ".pyi"]
    assert not [name for name in names if {"tests", "bin"} & set(name.parts)]
    for metadata in folder.glob("*.dist-info"):
        assert (metadata / "METADATA").exists()
        assert [path for path in metadata.rglob("*") if path.name.upper().startswith(("LICEN", "COPYING"))], metadata


def test_only_the_called_services_of_aws_are_described() -> None:
    """boto3 brings descriptions of some four hundred services; functions call nine."""
    described = {
        path.name for path in (bundle.build("control", "host", CATALOG) / "botocore/data").iterdir() if path.is_dir()
    }
    called = {"apigateway", "dynamodb", "logs", "s3", "secretsmanager", "sns", "sqs", "sts"}
    assert described == called | ({"elasticache"} & described)


def test_the_lean_bundle_has_none_of_the_heavy_packages() -> None:
    """The two functions on the way of every request carry neither boto3 nor pydantic."""
    names = {path.name for path in bundle.build("hot", "host", CATALOG).iterdir()}
    assert "msgspec" in names
    assert not names & {"boto3", "botocore", "pydantic", "pydantic_core"}


def test_its_name_is_its_content() -> None:
    """The same sources give the same folder; another catalog, kind or target gives another."""
    first = bundle.digest("hot", "host", CATALOG)
    assert bundle.build("hot", "host", CATALOG).name == first
    others = {
        bundle.digest("hot", "host", b"{}"),
        bundle.digest("control", "host", CATALOG),
        bundle.digest("hot", "lambda", CATALOG),
    }
    assert len({first, *others}) == 4


def test_an_edit_of_the_administration_does_not_redeploy_the_gateway() -> None:
    """What only the control plane imports is not in the lean bundle."""
    hot = [function.handler.rpartition(".")[0] for function in FUNCTIONS.values() if function.bundle == "hot"]
    files = sources.needed([bundle.RUNTIME, *hot], ROOT)
    assert "functions/gateway.py" in files
    assert "functions/admin.py" not in files
    assert "shared/manifest.py" not in files


def test_without_network_or_cache_it_says_so_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the lock file and what to do, and leaves no half-made folder."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(BundleError, match=r"hot\.lock for lambda \(3\.14\).*connect to the package index") as error:
        dependencies.install(ROOT / "functions/hot.lock", dependencies.LAMBDA, tmp_path / "deps")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "deps").iterdir())


def test_a_missing_lock_file_is_named(tmp_path: Path) -> None:
    """It names the file and the command that makes it."""
    with pytest.raises(BundleError, match=r"none\.lock is missing: run `make lock`"):
        dependencies.install(tmp_path / "none.lock", dependencies.LAMBDA, tmp_path)


def test_whoever_finishes_second_keeps_the_first_result(tmp_path: Path) -> None:
    """Two builds of the same folder may race; the loser neither fails nor spoils it."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "by").write_text(name)
    dependencies.into_place(tmp_path / "first", tmp_path / "final")
    dependencies.into_place(tmp_path / "second", tmp_path / "final")
    assert (tmp_path / "final" / "by").read_text() == "first"
