"""The commands of the service: make the model, serve it, simulate its load."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from gpu_service import simulate, specs
from gpu_service.batching.traces import TraceError
from gpu_service.model import NAME, ModelError, place
from gpu_service.settings import Settings
from shared.edge.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENVIRONMENT: Final = f"""environment of `serve`:
  MODELS                  the file that names the models (default: the packaged {specs.PACKAGED.name})
  MODEL_DIR               one directory that `build` made, to be served instead of those of MODELS
  MODEL_STORE             where built and fetched models are (default: build/models beside the package)
                          With neither MODELS nor MODEL_DIR a models.toml or manifest.json in /opt/ml/model is taken.
  GPU_SERVICE_TOKEN       bearer token that callers must show (default: none; /ping and /health need it never)
  GPU_SERVICE_AUTH        platform: SageMaker or Cloud Run checks callers; identity: a Google identity token opens the
                          service, too; with neither and without a token this machine alone is answered
  IDENTITY_AUDIENCE, IDENTITY_EMAILS
                          of identity tokens: the service's URLs that they are for, and the accounts that may call, with
                          commas between them; IDENTITY_ISSUER and IDENTITY_JWKS_URL name another issuer than Google
  GPU_SERVICE_HOST, PORT  address (default: 127.0.0.1, 8080); SAGEMAKER_BIND_TO_PORT goes before PORT
  DEVICE                  auto, cpu or cuda (default: auto); cuda refuses to run on anything else
  INFERENCE_THREADS       cores that one run uses (default: 1, which does most per core)
  INFERENCE_WORKERS       runs at a time (default: as many as the cores that this process may use hold; with
                          DEVICE=cuda 2, of which one computes while the other prepares the next run)
  GPU_MEMORY_MB           memory that runs may take of a GPU (default: 0, all there is)
  CUDA_GRAPHS             on: record the kernels of each shape at the start, and replay them (default: off)
  GPU_SHRINK              on: give a GPU's memory back after each run, which then costs more (default: off)
  MAX_REQUESTS            requests being served or waiting before the next is told to come back (default: 256)
  MAX_BATCH_SIZE, MIN_BATCH_SIZE, MAX_BATCH_TOKENS
                          bounds of one run: rows, and tokens with the padding (default: 32, 1, 16384)
  MAX_WAIT_MS             longest wait of an idle worker for more rows, where waiting pays (default: 100)
  TARGET_LATENCY_MS       what 95 of 100 rows shall take at most (default: 1000); who would miss it is told when
                          to come back
  DEADLINE_MS             after how long a request that has not begun is given up (default: 10000)
  STUCK_FACTOR, STUCK_MIN_MS, STUCK_MAX_SECONDS
                          a run that takes so many times what was predicted (default: 20), but from 10000 ms to 300 s,
                          is stuck: the service is neither ready nor live, and its requests get 504 at their deadline
  STUCK_GRACE_MS          after how much longer the process ends, if the run has not (default: 10000)
  AUTO_TUNE               off: the bounds alone decide on the size of a run and the wait for it (default: on)
  CACHE_MB                memory for results that were computed before (default: 64; 0: none)
  CACHE_DIR, CACHE_DISK_MB
                          folder for results that outlive the process (default: none), and their bound (default: 1024)
  NEXUS_CACHE_URI, NEXUS_CACHE_MS
                          s3://bucket/prefix or gs://bucket/prefix for results that outlive the machine (default: none),
                          and what a request waits for it at most (default: 50)
  BODY_SECONDS            time that a client has to send its body (default: 30)
  DRAIN_SECONDS           time after SIGTERM for what is under way (default: 7; Cloud Run kills after 10); a second
                          before its end open streams are told that there will be no more
  OTEL_EXPORTER_OTLP_ENDPOINT
                          collector that gets a span per request over http/protobuf (default: none); OpenTelemetry's
                          other variables for it count, too
  ACCESS_LOG              off: no line per request on stdout, probes aside (default: on)
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return {"build": _build, "serve": _serve, "simulate": simulate.main}[options.command](options)
    except (ModelError, SettingsError, TraceError, FileNotFoundError) as error:
        sys.stderr.write(f"gpu_service: {error}\n")
        return 1


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m gpu_service",
        description="Serves ONNX models behind the OpenAI shapes: vectors, rankings, labels, moderation, generation.",
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = found.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make a model's ONNX graph; does nothing if it is there")
    build.add_argument(
        "model", nargs="?", default=NAME, metavar="MODEL", help="its name in MODELS (default: %(default)s)"
    )
    build.add_argument("--out", type=Path, metavar="DIR", help="where to (default: its folder in MODEL_STORE)")
    build.add_argument("--precision", choices=get_args(specs.Precision), help="default: what MODELS says")
    build.add_argument("--force", action="store_true", help="make it again, whatever is there")
    serve = commands.add_parser("serve", help="serve the model until SIGTERM or SIGINT")
    serve.add_argument("--host", help="address to listen on (default: $GPU_SERVICE_HOST or 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="port to listen on, 0 for any (default: $PORT or 8080)")
    text = "say what a load would do to the batcher, without load and model"
    simulate.arguments(commands.add_parser("simulate", help=text, description=simulate.__doc__))
    return found


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 2**16:
        raise argparse.ArgumentTypeError(f"{port} is no port")
    return port


def _build(options: argparse.Namespace) -> int:
    from gpu_service.build import build  # noqa: PLC0415 - serving needs no onnx

    settings = Settings.from_env(os.environ)
    spec = specs.find(options.model, settings.models)
    spec = spec.at(options.precision or spec.precision)
    out = options.out or place(settings.store, options.model, spec.precision)
    began = time.perf_counter()
    made = build(out, name=options.model, spec=spec, force=options.force)
    seconds = time.perf_counter() - began
    sys.stdout.write(f"{options.model} {'made' if made else 'is there already'}: {out} ({seconds:.2f} s)\n")
    return 0


def _serve(options: argparse.Namespace) -> int:
    given = {name: value for name in ("host", "port") if (value := getattr(options, name)) is not None}
    settings = replace(Settings.from_env(os.environ), **given)
    from gpu_service.server import serve  # noqa: PLC0415 - building needs no server, and help neither

    return serve(settings)
