"""Reads safetensors with numpy alone; half precisions become float32, which holds each of their numbers exactly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gpu_service.model import REMEDY, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_Bytes = NDArray[np.uint8]


def _bfloat16(data: _Bytes) -> NDArray[np.float32]:
    """Read the upper halves of float32 numbers."""
    return (data.view("<u2").astype("<u4") << 16).view("<f4")


_WIDENED: Final[dict[str, Callable[[_Bytes], NDArray[np.float32]]]] = {
    "F32": lambda data: data.view("<f4"),
    "F16": lambda data: data.view("<f2").astype(np.float32),
    "BF16": _bfloat16,
}
_READ: Final = ", ".join(_WIDENED)
_LONGEST: Final = 100_000_000  # bytes of a header; what the format's own library reads


class Tensors(dict[str, NDArray[np.float32]]):
    """The tensors of the file at `path`, by name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.others: dict[str, str] = {}  # which are of other types

    def __missing__(self, name: str) -> NDArray[np.float32]:
        """Say that the graph needs it.

        Raises:
            ModelError: always.
        """
        kind = self.others.get(name)
        told = f"has the tensor '{name}' in {kind}; {_READ} are read" if kind else f"has no tensor '{name}'"
        raise ModelError(
            f"{self._path} {told}: correct 'task' in models.toml and config.json, or export the model to ONNX with "
            "another tool, and name its *.onnx in models.toml."
        )


def read(path: Path) -> Tensors:
    """Read the tensors of a safetensors file as float32, by name, without the "bert." that stands before some.

    The format: eight bytes with the header's length, the header as JSON, then the tensors' bytes. Those of float32 are
    mapped into memory, the others copied.

    Raises:
        ModelError: it is no such file, or is cut off.
    """
    found = Tensors(path)
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, _LONGEST)))
        data = np.memmap(path, mode="r", offset=8 + length)
        for given, entry in header.items():
            name = given.removeprefix("bert.")
            if given != "__metadata__" and (widened := _WIDENED.get(entry["dtype"])):
                found[name] = widened(data[slice(*entry["data_offsets"])]).reshape(entry["shape"])
            elif given != "__metadata__":
                found.others[name] = str(entry["dtype"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is no safetensors file, or is cut off: {REMEDY}.") from error
    return found
