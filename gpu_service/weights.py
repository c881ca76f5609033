"""Reads safetensors with numpy alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def read(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """Map the float32 tensors of a safetensors file into memory, by name, without the "bert." that stands before some.

    The format: eight bytes with the header's length, the header as JSON, then the tensors' bytes.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    data = np.memmap(path, mode="r", offset=8 + length)
    return {
        name.removeprefix("bert."): data[slice(*entry["data_offsets"])].view("<f4").reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }
