"""Turns what a client sends, texts or token ids, into rows of token ids that fit the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tokenizers import Tokenizer

from gpu_service.model import REMEDY, ModelError
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = list[int]
Cut = Literal["end", "start", "none"]  # which end of an input that is too long is cut off, if any may be

_ENOUGH: Final = 8_192  # characters that nearly always hold more tokens than a model reads
_MOST: Final = 100_000  # characters looked at in any case: tokenizing costs 1.5 us and 0.6 kB for each


def tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json.

    Raises:
        ModelError: it is none.
    """
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no error of its own
        raise ModelError(f"{path} cannot be read as a tokenizer ({error}): {REMEDY}.") from error


class Tokens:
    """The tokenizer of one model. Threads may share it; the work is done in Rust without the GIL.

    A `literal` one takes "[SEP]" in a text for what it is: a text cannot end its own segment.
    """

    def __init__(self, tokenizer: Tokenizer, *, limit: int, vocabulary: int, literal: bool = False) -> None:
        tokenizer.no_padding()  # the file asks for 128, always; rows are padded when their batch is known
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = literal
        self._tokenizer = tokenizer
        self._limit = limit
        self._vocabulary = vocabulary or tokenizer.get_vocab_size()
        around: Row = tokenizer.encode("").ids
        if len(around) != 2:  # noqa: PLR2004 - one before, one behind
            raise ModelError("The model's tokenizer puts no token before and behind a text: it is none of a BERT.")
        self._first, self._last = around

    @classmethod
    def open(cls, path: Path, *, limit: int, vocabulary: int, literal: bool = False) -> Tokens:
        """Read a tokenizer.json; `limit` counts the special tokens.

        Raises:
            ModelError: it is none, or none of a BERT.
        """
        return cls(tokenizer(path), limit=limit, vocabulary=vocabulary, literal=literal)

    def rows(self, inputs: Sequence[str | Row], cut: Cut = "end") -> list[Row]:
        """Give one row per input, cut to the limit; sentence-transformers cuts off the end.

        Token ids mean the same with and without the special tokens around them.

        Raises:
            BadRequest: a token id is none of this model's; an input is too long, and nothing may be cut off.
        """
        return [self._row(item, place, cut) for place, item in enumerate(inputs)]

    def pairs(self, query: str, documents: Sequence[str]) -> list[Row]:
        """Give one row per document, the query before it; of the longer of the two the end is cut off."""
        between = self._tokenizer.encode("", "").ids[1:-1]
        room = self._limit - 2 - len(between)
        asked = self._encoded(query)
        return [self._pair(asked, self._encoded(text), between, room) for text in documents]

    def second(self, row: Row) -> int:
        """Tell where in `row` the second text begins; behind its end, if there is but one."""
        return row.index(self._last) + 1 if self._last in row else len(row)

    def _pair(self, asked: Row, told: Row, between: Row, room: int) -> Row:
        kept = min(len(asked), max(room - len(told), room // 2))
        return [self._first, *asked[:kept], *between, *told[: room - kept], self._last]

    def _row(self, item: str | Row, place: int, cut: Cut) -> Row:
        room = self._limit - 2
        ids = self._encoded(item, cut) if isinstance(item, str) else self._known(item, place)
        if cut == "none" and len(ids) > room:
            raise BadRequest(
                f"'input[{place}]' has {len(ids) + 2} tokens or more; this model reads {self._limit}, special tokens "
                "counted. Shorten it, or let 'truncate' be 'END'.",
                param=f"input[{place}]",
            )
        kept = ids[len(ids) - room :] if cut == "start" and len(ids) > room else ids[:room]
        return [self._first, *kept, self._last]

    def _known(self, item: Row, place: int) -> Row:
        for token in item:
            if not 0 <= token < self._vocabulary:
                raise BadRequest(
                    f"'input[{place}]' holds the token id {token}; this model's ids are 0 to {self._vocabulary - 1}.",
                    param=f"input[{place}]",
                )
        return item[1:-1] if item[0] == self._first and item[-1] == self._last else item

    def _encoded(self, text: str, cut: Cut = "end") -> Row:
        """Tokenize no more of a long text than decides on the tokens that fit.

        A space ends a word for BERT, so the tokens before it do not depend on what follows.
        """
        if cut == "start":
            return self._encode(text[-_MOST:])
        if len(text) > _ENOUGH:
            head = self._encode(text[: max(0, text.rfind(" ", 0, _ENOUGH))])
            if len(head) >= self._limit - 2 and cut == "end":
                return head
        return self._encode(text[:_MOST])

    def _encode(self, text: str) -> Row:
        ids: Row = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids
