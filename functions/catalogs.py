"""Pushes catalogs into service without a deployment, and takes them back: the Directory keeps each one that was pushed.

A pointer beside them says which is live; its version is told to Valkey in every organization, so that every process of
the gateway learns of it with its next request. A file with a mistake in it changes nothing.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from functions.destinations import misled
from functions.projection import MISSED, RETRY_SECONDS
from functions.registry import Unknown
from functions.shelf import POINTER, packed, stored, unpacked
from functions.turns import ORGS
from shared.compiler.catalog import compile_catalog
from shared.compiler.prices import compile_prices
from shared.compiler.source import Source, SourceError
from shared.core.catalog import Catalog, decode
from shared.core.errors import BadRequest, Forbidden, StoreUnavailable, TooLarge
from shared.edge.directory import FIRST_ORG
from shared.edge.names import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.registry import Change, Item
    from functions.visit import Visit

DEPLOYED: Final = 0  # the number of the catalog that the functions were deployed with
MOST_BYTES: Final = 380_000  # of a record; DynamoDB takes 400 KB
_PAGE = 100


class Catalogs(NamedTuple):
    """All catalogs that there are, as an administrator of the first organization may see them."""

    visit: Visit

    @classmethod
    def of(cls, visit: Visit) -> Catalogs:
        """Open it for the one who asks.

        Raises:
            Forbidden: catalogs serve all organizations, so only those of the first one push them.
        """
        if visit.org != FIRST_ORG:
            raise Forbidden(f"Catalogs are pushed by administrators of the organization {FIRST_ORG}.")
        return cls(visit)

    def push(self, catalog: Source, prices: Source | None) -> Item:
        """Compile a catalog and have it be the live one; without `prices` those of the live one stay.

        Raises:
            BadRequest: there is a mistake in a file; the message has one line for each.
            TooLarge: it is larger than what can be stored.
            StoreUnavailable: it is not stored, or stored and not told everywhere.
        """
        compiled = self._compiled(catalog, prices)
        known = decode(compiled)
        content = {"compiled": packed(compiled), "source": packed(catalog.text.encode())}
        if sum(map(len, content.values())) > MOST_BYTES:
            raise TooLarge(f"The catalog takes more than {MOST_BYTES} bytes even when it is compressed.")
        told = {"digest": known.version, "name": catalog.name, "created_at": int(self.visit.control.now())}

        names = sorted({*known.models, *known.aliases})

        def live(pointer: Item) -> Item:
            number = pointer.get("last", DEPLOYED) + 1
            return {**pointer, "last": number, "serves": number, "before": pointer.get("serves", 0), "models": names}

        def record(pointer: Item) -> list[tuple[Item | None, Item]]:
            return [(None, {"pk": FIRST_ORG, "sk": stored(pointer["last"]), **told, **content})]

        edit, change = self.visit.control.registry.edit, self._change("catalog.push")
        pointer = edit(FIRST_ORG, POINTER, live, change, fresh=_fresh(), others=record)
        self._tell(pointer)
        return self.find(pointer["serves"])

    def roll_back(self, number: int | None) -> Item:
        """Have an earlier catalog be the live one: `number`, or the one that was live before; 0 is the deployed one.

        Raises:
            Unknown: there is no such catalog.
            StoreUnavailable: nothing has changed, or it has and is not told everywhere.
        """
        to = self.pointer().get("before", DEPLOYED) if number is None else number
        known = self.find(to)
        names = [] if to == DEPLOYED else sorted({*(found := decode(_of(known))).models, *found.aliases})

        def live(pointer: Item) -> Item:
            if pointer.get("serves", DEPLOYED) == to:
                return pointer
            return {**pointer, "serves": to, "before": pointer.get("serves", DEPLOYED), "models": names}

        edit = self.visit.control.registry.edit
        self._tell(edit(FIRST_ORG, POINTER, live, self._change("catalog.rollback"), fresh=_fresh()))
        return known

    def find(self, number: int) -> Item:
        """Return the record of a catalog.

        Raises:
            Unknown: there is none of this number.
        """
        if number == DEPLOYED:
            return {"sk": stored(DEPLOYED), "digest": self.visit.control.deployed.version, "name": "deployed"}
        return self.visit.control.registry.get(FIRST_ORG, stored(number))

    def pointer(self) -> Item:
        """Return what says which catalog is live."""
        return self.visit.control.registry.find(FIRST_ORG, POINTER) or _fresh()

    def _compiled(self, catalog: Source, prices: Source | None) -> bytes:
        try:
            compiled = compile_catalog(catalog, compile_prices(prices) if prices else self._live().prices)
        except SourceError as error:
            raise BadRequest(str(error), param="catalog") from error
        found, live, deployed = decode(compiled), self._live(), self.visit.control.deployed
        if stranger := misled(found, deployed, live):
            raise BadRequest(
                f"{catalog.name}: providers.{stranger.name}: would be sent what opens another one. Give it a secret "
                "of its own, or deploy the catalog.",
                param="catalog",
            )
        if found.tiers != deployed.tiers:
            raise BadRequest(
                f"{catalog.name}: tiers: differ from those that are deployed, and are not part of a push. Leave them "
                "as they are, and set limits with PUT /admin/limits/tier:NAME, or deploy.",
                param="catalog",
            )
        return compiled

    def _live(self) -> Catalog:
        number = self.pointer().get("serves", DEPLOYED)
        return decode(_of(self.find(number))) if number else self.visit.control.deployed

    def _change(self, action: str) -> Any:  # noqa: ANN401 - as the registry wants it
        def tell(old: Item | None, new: Item) -> Change:
            before, after = ({"serves": one.get("serves", DEPLOYED)} for one in (old or {}, new))
            return self.visit.change(action, POINTER, before, after)

        return tell

    def _tell(self, pointer: Item) -> None:
        """Tell every organization's part of Valkey; a newer version is never overwritten."""
        admission = self.visit.control.projection.admission
        try:
            for org in self._organizations():
                admission.tell(org, LIVE, pointer.get("version", 0), {"serves": pointer.get("serves", DEPLOYED)})
        except StoreUnavailable as error:
            raise StoreUnavailable(MISSED, retry_after=RETRY_SECONDS) from error

    def _organizations(self) -> Iterator[str]:
        yield FIRST_ORG
        after, more = None, True
        while more:
            page = self.visit.control.registry.page(FIRST_ORG, ORGS, _PAGE, after)
            names = [item["sk"].removeprefix(ORGS) for item in page.items]
            yield from (name for name in names if name != FIRST_ORG)
            after, more = (names[-1] if names else None), page.more


def text_of(record: Item) -> str | None:
    """Return the file that was pushed, None for the deployed one."""
    return unpacked(record["source"]).decode() if "source" in record else None


def _of(record: Item) -> bytes:
    try:
        return unpacked(record["compiled"])
    except (KeyError, ValueError, zlib.error) as error:
        raise Unknown("catalog") from error


def _fresh() -> Item:
    return {"pk": FIRST_ORG, "sk": POINTER}
