"""What a cold start costs in CPU: each hot function, as bundled, against the stack most teams would deploy."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 9
REPORT = """
import time
spent = time.process_time()
print(spent, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""

CONVENTIONAL = """
import boto3, httpx, jwt, redis
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from pydantic import BaseModel

class Message(BaseModel):
    role: str
    content: str

class Chat(BaseModel):
    model: str
    messages: list[Message]

logger, metrics = Logger(service="gateway"), Metrics(namespace="AINexus", service="gateway")
tracer = Tracer(service="gateway", disabled=True)
app = APIGatewayRestResolver(enable_validation=True)

@app.post("/v1/chat/completions")
def complete(chat: Chat) -> dict[str, str]:
    return {}

table = boto3.client("dynamodb", region_name="eu-central-1")
valkey = redis.Redis(host="127.0.0.1")
client = httpx.Client()
"""

GATEWAY = """
import functions.gateway
functions.gateway._gateway()
"""

AUTHORIZER = """
import functions.authorizer
functions.authorizer._authorizer()
"""


@dataclass(frozen=True)
class Start:
    """A program, and the only folder from which it may import."""

    name: str
    program: str
    path: Path
    environment: Mapping[str, str]

    def run(self) -> tuple[float, float]:
        """One fresh process: (CPU milliseconds, resident megabytes)."""
        environment = {**self.environment, "PYTHONPATH": str(self.path), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-S", "-c", self.program + REPORT]
        shown = subprocess.run(command, env=environment, cwd=self.path, text=True, capture_output=True, check=True)
        seconds, kilobytes = shown.stdout.split()[-2:]
        return float(seconds) * 1000, float(kilobytes) / 1024


def measure(bundle: Path, environment: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """(CPU ms above a bare interpreter, MB) of each start: the least of ROUNDS interleaved rounds."""
    everything = Path(sysconfig.get_paths()["purelib"])
    starts = [
        Start("bare interpreter", "", everything, {}),
        Start("conventional", CONVENTIONAL, everything, environment),
        Start("gateway", GATEWAY, bundle, environment),
        Start("authorizer", AUTHORIZER, bundle, environment),
    ]
    seen: dict[str, list[tuple[float, float]]] = {start.name: [] for start in starts}
    for _ in range(ROUNDS):
        for start in starts:
            seen[start.name].append(start.run())
    least = {name: (min(ms for ms, _ in runs), min(mb for _, mb in runs)) for name, runs in seen.items()}
    bare, _ = least.pop("bare interpreter")
    return {name: (ms - bare, mb) for name, (ms, mb) in least.items()}
