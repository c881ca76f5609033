"""The stand-in provider: a real HTTP server in OpenAI's wire format, with deterministic answers and fault knobs."""

from typing import Any, TypeAlias

Json: TypeAlias = Any  # what `json.loads` returns: requests and schemas come from outside
