"""One request on its way through the batcher, and the single rows that it shows to the workers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(eq=False, slots=True)
class Ticket:
    """A request: the tokens of each of its rows, and the time at which it is given up unless it has begun."""

    sizes: Sequence[int]
    expires: float
    begun: bool = False
    over: bool = False  # answered, given up or left by its client: nothing of it is run any more
    hidden: deque[int] = field(init=False)  # places of the rows that no worker sees yet, similar lengths together
    shown: int = 0  # rows in the line

    def __post_init__(self) -> None:
        self.hidden = deque(sorted(range(len(self.sizes)), key=self.sizes.__getitem__))


class Row(NamedTuple):
    """A row in the line; rows sort by length, then by age."""

    size: int
    number: int
    since: float
    ticket: Ticket
    place: int  # among the rows of its request


@dataclass(eq=False, slots=True)
class Batch:
    """Rows that run together, and the seconds that the run is expected to take."""

    rows: Sequence[Row]
    began: float
    expected: float

    @property
    def padded(self) -> int:
        """Tokens with the padding: every row is as long as the longest."""
        return len(self.rows) * max(row.size for row in self.rows)

    @property
    def tokens(self) -> int:
        """Tokens without the padding."""
        return sum(row.size for row in self.rows)
