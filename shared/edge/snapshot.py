"""Work to do around a SnapStart snapshot: close connections before it, open what must be unique after it.

Has the interface of the `snapshot_restore_py` package of the managed runtime, and stands in for it under our loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
_before: list[Callable[[], object]] = []
_after: list[Callable[[], object]] = []


def register_before_snapshot(hook: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call `hook` before the snapshot is taken; the last one registered runs first."""
    _before.append(lambda: hook(*args, **kwargs))


def register_after_restore(hook: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call `hook` after each restore; the first one registered runs first."""
    _after.append(lambda: hook(*args, **kwargs))


def get_before_snapshot() -> list[Callable[[], object]]:
    """The hooks in the order in which they were registered."""
    return list(_before)


def get_after_restore() -> list[Callable[[], object]]:
    """The hooks in the order in which they were registered."""
    return list(_after)


def run_before_snapshot() -> None:
    """Run the hooks, last registered first; the first failure ends it."""
    for hook in reversed(_before):
        hook()


def run_after_restore() -> None:
    """Run the hooks, first registered first; the first failure ends it."""
    for hook in _after:
        hook()
