"""The CDK app: `npx aws-cdk@2.1148.1 synth`, or plainly `python -m cdk.app`. It needs no network and no credentials."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Final

from cdk import config as configuration
from cdk.bundle import BundleError, build
from cdk.catalog import compile_catalog
from cdk.node import NodeMissingError, node
from cdk.targets import identity, storage
from shared.compiler.source import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from shared import parts

EXPECTED: Final = (BundleError, NodeMissingError, SourceError, configuration.ConfigError)


def main(cdk_json: Path = configuration.CDK_JSON) -> int:
    """Synthesize into the folder that the CDK CLI names, or `cdk.out`; answer the exit status."""
    try:
        context = {**configuration.defaults(cdk_json), **json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))}
        chosen = configuration.parse(context)
        bundles = bundle_all(chosen)
        os.environ["JSII_NODE"] = node()
    except EXPECTED as error:
        sys.stderr.write(f"nexus: {error}\n")
        return 1
    _synthesize(chosen, bundles, context)
    return 0


def bundle_all(config: configuration.Config) -> dict[parts.Bundle, Path]:
    """Build every function's zip folder for the configured target; quick where nothing changed.

    Raises:
        BundleError, SourceError: As their docstrings say.
        ConfigError: What is configured and the catalog do not agree.
    """
    catalog = compile_catalog(config.catalog_file)
    storage(config, catalog)
    wanted: tuple[parts.Bundle, ...] = ("hot", "control", "gcp") if identity(config, catalog) else ("hot", "control")
    return {bundle: build(bundle, config.target, catalog) for bundle in wanted}


def _synthesize(config: configuration.Config, bundles: dict[parts.Bundle, Path], context: dict[str, object]) -> None:
    # jsii starts Node.js when it is imported, so that only now, with JSII_NODE set, may it be.
    import aws_cdk  # noqa: PLC0415
    from cdk_nag import AwsSolutionsChecks  # noqa: PLC0415

    from cdk.stack import NexusStack  # noqa: PLC0415

    app = aws_cdk.App(context=context, analytics_reporting=False, outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    NexusStack(app, config, bundles)
    aws_cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()


if __name__ == "__main__":
    sys.exit(main())
