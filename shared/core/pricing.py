"""What an exchange costs at least, at most and in the end. Money is whole nano-dollars, 10^9 of them to the dollar."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.core.usage import Usage

NANO = 1_000_000_000  # to the dollar
MILLION = 1_000_000  # tokens: what rates are quoted for
IMAGE_TOKENS = 50_000  # more than any model of the catalog takes for one image, whatever its size and detail
ANY = "*"  # instead of a model's name: every model of that provider


class Rates(msgspec.Struct, frozen=True):
    """Nano-dollars per million tokens.

    `cache_write` is what tokens of the prompt cost that the provider writes into its cache, `cache_write_long` what
    they cost if it keeps them for longer than usual; None where that costs no more than `input`.
    """

    input: int
    cached_input: int
    output: int
    cache_write: int | None = None
    cache_write_long: int | None = None

    @property
    def writing(self) -> tuple[int, int]:
        """What tokens cost that are written into the cache: for the usual time, and for longer."""
        usual = self.input if self.cache_write is None else self.cache_write
        return usual, usual if self.cache_write_long is None else self.cache_write_long

    @property
    def dearest(self) -> int:
        """The most that a token of the prompt can cost."""
        return max(self.input, self.cached_input, *self.writing)


class Price(msgspec.Struct, frozen=True):
    """What one target takes. `per_request` and `per_image` are nano-dollars.

    A prompt of more than `long_from` tokens is charged, with its answer, by the rates `long`. `added` tokens at most
    are in a prompt that the provider puts there itself (for tools, or for the form of the answer), and charges.
    """

    rates: Rates
    per_request: int = 0
    per_image: int = 0
    long_from: int = 0
    long: Rates | None = None
    added: int = 0

    def rates_for(self, prompt: int) -> Rates:
        """Return the rates that apply to a prompt of so many tokens."""
        return self.long if self.long and prompt > self.long_from else self.rates

    def for_searches(self, searches: int) -> Price:
        """Return the price of a request that may be charged as so many."""
        return self if searches == 1 else msgspec.structs.replace(self, per_request=searches * self.per_request)


Prices = dict[str, dict[str, Price]]  # by provider, then by the model's name there


class Worst(NamedTuple):
    """The most that one try can cost: `fixed` nano-dollars, and `each` for every token that an answer may have.

    `tokens` bounds those of the prompt; `each` counts all of the `n` answers, so that `max_tokens` is of one of them.
    """

    fixed: int
    each: int
    tokens: int

    def of(self, max_tokens: int) -> int:
        """Nano-dollars, with answers of at most `max_tokens`."""
        return self.fixed + self.each * max_tokens


def find(prices: Mapping[str, Mapping[str, Price]], provider: str, model: str) -> Price | None:
    """Return the price of a target; None if nobody has named one."""
    known = prices.get(provider, {})
    return known.get(model) or known.get(ANY)


def cost(usage: Usage, price: Price, images: int = 0) -> int:
    """Nano-dollars for `usage`, a fraction of one rounded up, once."""
    rates = price.rates_for(usage.prompt)
    writing, writing_long = rates.writing
    tokens = (
        (usage.prompt - usage.cached - usage.cache_write) * rates.input
        + usage.cached * rates.cached_input
        + (usage.cache_write - usage.cache_write_long) * writing
        + usage.cache_write_long * writing_long
        + usage.completion * rates.output
    )
    return -(-tokens // MILLION) + usage.searches * price.per_request + images * price.per_image


def worst(prices: Iterable[Price], size: int, n: int = 1, images: int = 0, *, caching: bool = True) -> Worst:
    """Bound what a request can cost at whichever of its targets, `prices`, is the dearest.

    `size` is that of the body in bytes: no tokenizer makes more tokens than its text has bytes, and the JSON around a
    message is longer than what a provider adds to it, but for the `added` of its price. An image counts
    `IMAGE_TOKENS`, for its bytes bound nothing. `caching` is false if nothing can be written into a cache.
    """
    said = size + IMAGE_TOKENS * images
    fixed = each = tokens = 0
    for price in prices:
        prompted = said + price.added
        tokens = max(tokens, prompted)
        rates = price.rates_for(prompted)
        dearest = rates.dearest if caching else max(rates.input, rates.cached_input)
        prompt = -(-prompted * dearest // MILLION)
        fixed = max(fixed, prompt + price.per_request + images * price.per_image)
        each = max(each, -(-n * rates.output // MILLION))
    return Worst(fixed, each, tokens or said)


def usd(nano: int) -> str:
    """Render nano-dollars as dollars: exact, without an exponent or idle zeros."""
    whole, rest = divmod(abs(nano), NANO)
    return f"{'-' if nano < 0 else ''}{whole}{f'.{rest:09d}'.rstrip('0') if rest else ''}"
