"""What the environment says about how to serve."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from gpu_service import guard
from gpu_service.batching.limits import Limits, Patience
from gpu_service.cpu import cores
from gpu_service.cuda import Cuda
from gpu_service.model import MANIFEST, STORE
from gpu_service.specs import PACKAGED
from shared.edge.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.guard import Identity


_SAGEMAKER: Final = Path("/opt/ml/model")  # where SageMaker unpacks a model's archive

_BUCKET: Final = re.compile(r"(s3|gs)://[a-z0-9][a-z0-9._-]*(/[!-~]*)?")
_SWITCH: Final = {"on": True, "off": False, "1": True, "0": False, "true": True, "false": False}
_MB: Final = 1024 * 1024

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve.

    `model_dir` is the one built model to serve, None for those of the file `models`; `store` holds what was built and
    fetched for that file. `token` is the bearer token that callers must show, "" for none; `guard` is how they are
    checked, "token", "identity" or "platform", and `identity` which identity tokens open the service besides.
    `device` is where runs compute, and `cuda` how on a GPU; `threads` are the cores of one run, `workers` the runs at a
    time, `places` the requests inside at a time; `batching` says how they share runs, `patience` when one of these is
    stuck. The caches hold `cache_bytes` in memory and, if there is a `cache_dir`, `cache_disk_bytes` in it; `cache_uri`
    is a bucket besides, "" for none, for which a request waits `cache_patience` seconds. `body_seconds` is what a
    client has to send its body, `drain_seconds` what is under way has after SIGTERM.
    """

    model_dir: Path | None
    models: Path
    store: Path
    host: str
    port: int
    token: str
    guard: str
    identity: Identity | None
    device: Device
    cuda: Cuda
    threads: int
    workers: int
    places: int
    batching: Limits
    patience: Patience
    cache_bytes: int
    cache_dir: Path | None
    cache_disk_bytes: int
    cache_uri: str
    cache_patience: float
    body_seconds: float
    drain_seconds: int
    access_log: bool

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables that `python -m gpu_service --help` lists.

        Raises:
            SettingsError: one of them has no meaning.
        """
        threads = _number(environment, "INFERENCE_THREADS", 1)
        port = _number(environment, "PORT", 8080, least=0)
        directory, models = _models(environment)
        device = environment.get("DEVICE") or "auto"
        if device not in get_args(Device):
            raise SettingsError(f"DEVICE={device} is none of {', '.join(get_args(Device))}.")
        host, token = environment.get("GPU_SERVICE_HOST") or "127.0.0.1", environment.get("GPU_SERVICE_TOKEN", "")
        return cls(
            model_dir=Path(directory) if directory else None,
            models=Path(models or PACKAGED),
            store=Path(environment.get("MODEL_STORE") or STORE),
            host=host,
            port=_number(environment, "SAGEMAKER_BIND_TO_PORT", port, least=0),
            token=token,
            guard=guard.way(environment),
            identity=guard.identity(environment),
            device=cast("Device", device),
            cuda=_cuda(environment),
            threads=threads,
            workers=_number(environment, "INFERENCE_WORKERS", 2 if device == "cuda" else max(1, cores() // threads)),
            places=_number(environment, "MAX_REQUESTS", 256),
            batching=_batching(environment),
            patience=_patience(environment),
            cache_bytes=_number(environment, "CACHE_MB", 64, least=0) * _MB,
            cache_dir=Path(folder) if (folder := environment.get("CACHE_DIR")) else None,
            cache_disk_bytes=_number(environment, "CACHE_DISK_MB", 1024) * _MB,
            cache_uri=_bucket(environment),
            cache_patience=_number(environment, "NEXUS_CACHE_MS", 50) / 1000,
            body_seconds=float(_number(environment, "BODY_SECONDS", 30)),
            drain_seconds=_number(environment, "DRAIN_SECONDS", 7, least=2),
            access_log=_switch(environment, "ACCESS_LOG"),
        )


def _batching(environment: Mapping[str, str]) -> Limits:
    """Read how to batch.

    Raises:
        SettingsError: a number has no meaning, or the least batch is larger than the largest.
    """
    known = Limits()
    least, most = (
        _number(environment, "MIN_BATCH_SIZE", known.min_batch_size),
        _number(environment, "MAX_BATCH_SIZE", 32),
    )
    if least > most:
        raise SettingsError(f"MIN_BATCH_SIZE={least} is more than MAX_BATCH_SIZE={most}.")
    return Limits(
        max_batch_size=most,
        min_batch_size=least,
        max_batch_tokens=_number(environment, "MAX_BATCH_TOKENS", known.max_batch_tokens),
        max_wait=_number(environment, "MAX_WAIT_MS", 100, least=0) / 1000,
        target_latency=_number(environment, "TARGET_LATENCY_MS", 1000) / 1000,
        deadline=_number(environment, "DEADLINE_MS", 10_000) / 1000,
        tune=_switch(environment, "AUTO_TUNE"),
    )


def _cuda(environment: Mapping[str, str]) -> Cuda:
    """Read how to use a GPU.

    Raises:
        SettingsError: a number has no meaning, or memory would be given back that recorded kernels use.
    """
    batching, graphs = _batching(environment), _switch(environment, "CUDA_GRAPHS", default="off")
    shrink = _switch(environment, "GPU_SHRINK", default="off")
    if graphs and shrink:
        raise SettingsError("CUDA_GRAPHS=on needs its memory to stay where it is: leave GPU_SHRINK off.")
    return Cuda(
        memory_bytes=_number(environment, "GPU_MEMORY_MB", 0, least=0, most=2**20) * _MB,
        graphs=graphs,
        shrink=shrink,
        rows=batching.max_batch_size,
        tokens=batching.max_batch_tokens,
    )


def _patience(environment: Mapping[str, str]) -> Patience:
    known = Patience()
    return Patience(
        factor=float(_number(environment, "STUCK_FACTOR", int(known.factor))),
        least=_number(environment, "STUCK_MIN_MS", int(known.least * 1000)) / 1000,
        most=float(_number(environment, "STUCK_MAX_SECONDS", int(known.most))),
        grace=_number(environment, "STUCK_GRACE_MS", int(known.grace * 1000)) / 1000,
    )


def _bucket(environment: Mapping[str, str]) -> str:
    uri = environment.get("NEXUS_CACHE_URI", "")
    if uri and not _BUCKET.fullmatch(uri):
        raise SettingsError(f"NEXUS_CACHE_URI={uri} is neither s3://bucket/prefix nor gs://bucket/prefix.")
    return uri


def _switch(environment: Mapping[str, str], name: str, default: str = "on") -> bool:
    text = environment.get(name) or default
    if text.lower() not in _SWITCH:
        raise SettingsError(f"{name}={text} is none of {', '.join(_SWITCH)}.")
    return _SWITCH[text.lower()]


def _models(environment: Mapping[str, str], mounted: Path = _SAGEMAKER) -> tuple[str, str]:
    """Find what to serve, a built directory or a models.toml: what is named, then what SageMaker mounted."""
    directory, models = environment.get("MODEL_DIR", ""), environment.get("MODELS", "")
    if not directory and not models:
        found = [str(mounted / name) if (mounted / name).exists() else "" for name in (MANIFEST, PACKAGED.name)]
        return (str(mounted), "") if found[0] else ("", found[1])
    return directory, models


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int = 2**16 - 1) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise SettingsError(f"{name}={text} is not a whole number from {least} to {most}.")
    return int(text)
