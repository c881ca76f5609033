"""Turns what a client sends, texts or token ids, into rows of token ids that fit the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenizers import Tokenizer

from gpu_service.model import ModelError
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = list[int]

_ENOUGH: Final = 8_192  # characters that nearly always hold more tokens than a model reads
_MOST: Final = 100_000  # characters looked at in any case: tokenizing costs 1.5 us and 0.6 kB for each


class Tokens:
    """The tokenizer of one model. Threads may share it; the work is done in Rust without the GIL."""

    def __init__(self, tokenizer: Tokenizer, *, limit: int, vocabulary: int) -> None:
        tokenizer.no_padding()  # the file asks for 128, always; rows are padded when their batch is known
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._room = limit - 2
        self._vocabulary = vocabulary
        self._first, self._last = (_id(tokenizer, token) for token in ("[CLS]", "[SEP]"))

    @classmethod
    def open(cls, path: Path, *, limit: int, vocabulary: int) -> Tokens:
        """Read a tokenizer.json; `limit` counts the two special tokens."""
        return cls(Tokenizer.from_file(str(path)), limit=limit, vocabulary=vocabulary)

    def rows(self, inputs: Sequence[str | Row]) -> list[Row]:
        """Give one row per input, cut to the limit as sentence-transformers cuts it: the head stays.

        Token ids mean the same with and without the special tokens around them.

        Raises:
            BadRequest: a token id is none of this model's.
        """
        return [self._wrapped(self._ids(item, place)) for place, item in enumerate(inputs)]

    def _ids(self, item: str | Row, place: int) -> Row:
        if isinstance(item, str):
            return self._encoded(item)
        for token in item:
            if not 0 <= token < self._vocabulary:
                raise BadRequest(
                    f"'input[{place}]' holds the token id {token}; this model's ids are 0 to {self._vocabulary - 1}.",
                    param=f"input[{place}]",
                )
        return item[1:-1] if item[0] == self._first and item[-1] == self._last else item

    def _encoded(self, text: str) -> Row:
        """Tokenize no more of a long text than decides on the tokens that fit.

        A space ends a word for BERT, so the tokens before it do not depend on what follows.
        """
        if len(text) > _ENOUGH:
            head = self._encode(text[: max(0, text.rfind(" ", 0, _ENOUGH))])
            if len(head) >= self._room:
                return head
        return self._encode(text[:_MOST])

    def _encode(self, text: str) -> Row:
        ids: Row = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _wrapped(self, ids: Row) -> Row:
        return [self._first, *ids[: self._room], self._last]


def _id(tokenizer: Tokenizer, token: str) -> int:
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise ModelError(f"The model's tokenizer knows no {token}: it is none of a BERT.")
    return found
