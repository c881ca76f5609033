"""API keys: `nexus_<org>-<id>_<secret>`. What is stored of one is its keyed digest; the key itself is shown once.

The secret holds 256 bits of chance, so the digest needs no salt and no slow hash; the pepper makes a stolen table
useless.
"""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

CHANCE_BYTES = 48  # what `mint` needs: 16 for the id, 32 for the secret
LONGEST = 256  # characters; nothing longer is looked at

_BASE36 = "abcdefghijklmnopqrstuvwxyz0123456789"
_BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH, _SECRET_LENGTH = 12, 43  # 62 ** 43 > 2 ** 256
_KEY = re.compile(r"nexus_(([a-z0-9]{1,20})-[a-z0-9]{12})_([A-Za-z0-9]{43,128})")
_ID = re.compile(r"([a-z0-9]{1,20})-[a-z0-9]{12}")
_NOBODY = "0" * 64  # stands in for the digest of a key that does not exist


class Key(NamedTuple):
    """A key in its parts; `id` begins with `org`."""

    org: str
    id: str
    secret: str

    def __repr__(self) -> str:
        """Show nothing that opens anything."""
        return f"Key({self.display})"

    @property
    def text(self) -> str:
        """The key as its owner sends it."""
        return f"nexus_{self.id}_{self.secret}"

    @property
    def last4(self) -> str:
        """Its end, by which people tell their keys apart."""
        return self.secret[-4:]

    @property
    def display(self) -> str:
        """What may be shown of it."""
        return display(self.id, self.last4)


def display(key_id: str, last4: str) -> str:
    """Return what may be shown of a key: where it begins, and where it ends."""
    return f"nexus_{key_id}_...{last4}"


def mint(org: str, chance: bytes) -> Key:
    """Make a key of `org` out of `CHANCE_BYTES` random bytes.

    Raises:
        ValueError: `org` is not 1 to 20 of a-z and 0-9, or `chance` has another length.
    """
    if len(chance) != CHANCE_BYTES:
        raise ValueError(f"A key takes {CHANCE_BYTES} random bytes, not {len(chance)}.")
    key = Key(
        org,
        f"{org}-{_spell(chance[:16], _BASE36, _ID_LENGTH)}",
        _spell(chance[16:], _BASE62, _SECRET_LENGTH),
    )
    if parse(key.text) != key:
        raise ValueError(f"An organization is called by 1 to 20 of a-z and 0-9, not {org!r}.")
    return key


def parse(text: str) -> Key | None:
    """Take a key apart, or return None for what cannot be one."""
    found = _KEY.fullmatch(text) if len(text) <= LONGEST else None
    return Key(found[2], found[1], found[3]) if found else None


def org_of(key_id: str) -> str | None:
    """Return the organization that a key id names, or None for what cannot be an id."""
    found = _ID.fullmatch(key_id)
    return found[1] if found else None


def digest(pepper: str, key: Key) -> str:
    """Return what is stored of a key: HMAC-SHA-256 in hex.

    Raises:
        ValueError: there is no pepper.
    """
    if not pepper:
        raise ValueError("Keys are not hashed without a pepper.")
    return hmac.digest(pepper.encode(), key.text.encode(), "sha256").hex()


def verify(pepper: str, key: Key, stored: str | None) -> bool:
    """Tell whether `stored` is the digest of `key`; takes as long for a key that does not exist (None)."""
    same = hmac.compare_digest(digest(pepper, key).encode(), (_NOBODY if stored is None else stored).encode())
    return same and stored is not None


def mark(stored: str) -> str:
    """Return how a stored digest is told from others where it is not to be compared with a key."""
    return stored[:16]


def _spell(chance: bytes, letters: str, length: int) -> str:
    """Write a number in the digits `letters`, its lowest `length` of them."""
    number = int.from_bytes(chance, "big")
    spelled = []
    for _ in range(length):
        number, digit = divmod(number, len(letters))
        spelled.append(letters[digit])
    return "".join(spelled)
