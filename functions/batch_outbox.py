"""What a file of the inbox came to: it lies under the same name in the outbox, with nothing of an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from functions.batch_files import place
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from functions.batch_objects import Objects
    from shared.core.batches import Fault

_RESULTS: Final = {"output_file_id": ".output.jsonl", "error_file_id": ".errors.jsonl"}
_FAULTS: Final = ".errors.json"


def deliver(objects: Objects, org: str, tray: str, files: Mapping[str, str]) -> None:
    """Lay the files of a batch, ids by the names of its fields, beside one another under the name `tray`.

    Raises:
        StoreUnavailable: the bucket cannot be reached.
    """
    for field, ending in _RESULTS.items():
        if field in files:
            objects.hand_out(org, place(files[field]), tray + ending)
        else:
            objects.clear(tray + ending)
    objects.clear(tray + _FAULTS)


def report(objects: Objects, tray: str, faults: Iterable[Fault]) -> None:
    """Lay there what is wrong with a file that no batch was made of, or one that failed; raises as `deliver` does."""
    objects.lay_out(tray + _FAULTS, encode({"object": "list", "data": [fault._asdict() for fault in faults]}))
    for ending in _RESULTS.values():
        objects.clear(tray + ending)
