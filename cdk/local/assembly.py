"""Synthesizes in a process of its own, which can be ended at any time and keeps CDK's imports out of the running stack.

`python -m cdk.local.assembly RESULT CATALOG` writes what came of it to RESULT: the folder, or the sentence to show.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cdk.local.child import Child, LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdk.config import Config

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 300.0


class Assembly(NamedTuple):
    """A synthesized app: its template, and the folder of each zip by its S3 key."""

    template: Mapping[str, object]
    assets: Mapping[str, Path]


async def assemble(catalog: Path | None, scratch: Path, log: Path) -> Assembly:
    """Synthesize for this machine; what CDK, the bundler or the catalog's compiler refuse is a LocalError."""
    result = scratch / "assembly.json"
    result.unlink(missing_ok=True)
    chosen = os.path.abspath(catalog) if catalog else ""  # noqa: PTH100, ASYNC240 - asks no disk
    command = [sys.executable, "-m", "cdk.local.assembly", str(result), chosen]
    child = Child.start("The CDK app", command, log=log, environment=dict(os.environ), directory=ROOT)
    try:
        await child.until(result.exists, seconds=SECONDS)
    finally:
        child.stop()
    outcome = json.loads(result.read_bytes())
    if "error" in outcome:
        raise LocalError(outcome["error"])
    return Assembly(outcome["template"], {key: Path(folder) for key, folder in outcome["assets"].items()})


def configured(catalog: str, cdk_json: Path | None = None) -> Config:
    """Return what `cdk.json` configures, for this machine, and with `catalog` in place of its own unless that is "".

    Raises:
        ConfigError: a key is unknown or its value will not do.
    """
    from cdk.config import CDK_JSON, PREFIX, defaults, parse  # noqa: PLC0415 - the parent needs none of this

    chosen = {f"{PREFIX}catalog": catalog} if catalog else {}
    return parse({**defaults(cdk_json or CDK_JSON), f"{PREFIX}target": "host", **chosen})


def main(result: Path, catalog: str) -> None:
    """Synthesize and write down what came of it."""
    from cdk.app import EXPECTED  # noqa: PLC0415 - the parent needs none of this
    from cdk.synth import SynthesisError, assets, synthesize, template  # noqa: PLC0415

    outcome: dict[str, object]
    try:
        folder = synthesize(configured(catalog))
    except (*EXPECTED, SynthesisError) as error:
        outcome = {"error": str(error)}
    else:
        zips = {key: str(path) for key, path in assets(folder).items()}
        outcome = {"template": template(folder), "assets": zips}
    scratch = result.with_suffix(".new")
    scratch.write_text(json.dumps(outcome))
    scratch.replace(result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
