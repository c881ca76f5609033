"""Text comes whole and early, stop strings never; choices follow their probabilities and their seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpu_service.generation.sampling import Sampler
from gpu_service.generation.text import Text


def decode(ids: list[int]) -> str:
    """One token per byte, what is no UTF-8 replaced: as byte-level tokenizers do."""
    return bytes(ids).decode("utf-8", errors="replace")


@given(
    text=st.text(alphabet="ab<|é🎉", max_size=30), stops=st.lists(st.text(alphabet="ab<|é🎉", min_size=1), max_size=3)
)
def test_a_stream_is_the_text_up_to_the_first_stop_string(text: str, stops: list[str]) -> None:
    """Byte by byte: the pieces are the text before the earliest stop string, and no piece holds half a character."""
    writer = Text(decode, stops)
    pieces = []
    for byte in text.encode():
        pieces.append(writer.push(byte))
        if writer.stopped:
            break
    pieces.append(writer.rest())

    ends = [place + len(stop) for stop in stops if (place := text.find(stop)) >= 0]
    met = next((text[:end] for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)), None)
    assert writer.stopped == bool(ends)
    if met is None:
        assert "".join(pieces) == text
    else:
        assert "".join(pieces) == met[: min(met.find(stop) for stop in stops if stop in met)]
    assert all("\ufffd" not in piece for piece in pieces)


def test_text_is_not_held_back_without_a_reason() -> None:
    """A letter that begins no stop string is shown at once; one that does waits for the next."""
    writer = Text(decode, ["xy"])

    assert [writer.push(byte) for byte in b"axbxy"] == ["a", "", "xb", "", ""]
    assert (writer.stopped, writer.rest()) == (True, "")


def test_bytes_that_are_no_text_are_shown_after_all() -> None:
    """A character has at most four bytes: the fourth broken one is not waited for."""
    writer = Text(decode, [])
    pieces = [writer.push(0x80) for _ in range(4)]

    assert pieces[:3] == ["", "", ""]
    assert pieces[3] == "\ufffd" * 4


LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05])).astype(np.float32)


def shares(*, temperature: float = 1.0, top_p: float = 1.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How often each of the four tokens is chosen."""
    sampler = Sampler(temperature=temperature, top_p=top_p, seed=1)
    chosen = [sampler.choose(LOGITS) for _ in range(4000)]
    return np.bincount(chosen, minlength=4) / 4000


def test_choices_follow_the_probabilities() -> None:
    """At temperature 1 as they are, at 0.5 squared, at 0 the likeliest; `top_p` drops the tail."""
    assert np.abs(shares() - [0.5, 0.3, 0.15, 0.05]).max() < 0.03
    squared = np.array([0.25, 0.09, 0.0225, 0.0025])
    assert np.abs(shares(temperature=0.5) - squared / squared.sum()).max() < 0.03
    assert shares(temperature=0)[0] == 1
    assert np.abs(shares(top_p=0.7) - [0.625, 0.375, 0, 0]).max() < 0.03
    assert shares(top_p=0.01)[0] == 1


def test_a_seed_makes_the_same_choices() -> None:
    """The same again with the same seed, others with another, negative ones too."""

    def chosen(seed: int) -> list[int]:
        sampler = Sampler(temperature=1, top_p=1, seed=seed)
        return [sampler.choose(LOGITS) for _ in range(30)]

    assert chosen(7) == chosen(7)
    assert len({tuple(chosen(seed)) for seed in (7, -7, 8)}) == 3
