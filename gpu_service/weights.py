"""Reads safetensors with numpy alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gpu_service.model import REMEDY, ModelError

if TYPE_CHECKING:
    from pathlib import Path

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
        told = f"has the tensor '{name}' in {kind}; F32 alone is read" if kind else f"has no tensor '{name}'"
        raise ModelError(
            f"{self._path} {told}: correct 'task' in models.toml and config.json, or export the model to ONNX with "
            "another tool, and name its *.onnx in models.toml."
        )


def read(path: Path) -> Tensors:
    """Map the float32 tensors of a safetensors file into memory, by name, without the "bert." that stands before some.

    The format: eight bytes with the header's length, the header as JSON, then the tensors' bytes.

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
            if given != "__metadata__" and entry["dtype"] == "F32":
                found[name] = data[slice(*entry["data_offsets"])].view("<f4").reshape(entry["shape"])
            elif given != "__metadata__":
                found.others[name] = str(entry["dtype"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is no safetensors file, or is cut off: {REMEDY}.") from error
    return found
