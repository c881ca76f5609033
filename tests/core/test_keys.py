"""Keys: minted from chance, taken apart again, compared by digest, and never shown."""

from __future__ import annotations

import hashlib
import hmac
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import keys

ORGS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)
CHANCE = st.binary(min_size=keys.CHANCE_BYTES, max_size=keys.CHANCE_BYTES)
KEY = keys.mint("default", bytes(range(48)))


@given(org=ORGS, chance=CHANCE)
def test_takes_apart_what_it_minted(org: str, chance: bytes) -> None:
    """Any organization and any chance make a key that parses to itself, and whose id tells the organization."""
    key = keys.mint(org, chance)
    assert keys.parse(key.text) == key
    assert keys.org_of(key.id) == org
    assert key.text.startswith(f"nexus_{org}-")
    assert len(key.secret) == 43


@given(one=CHANCE, other=CHANCE)
def test_different_chance_makes_a_different_secret(one: bytes, other: bytes) -> None:
    """No bit of the 256 is lost on the way into letters."""
    same = keys.mint("a", one).secret == keys.mint("a", other).secret
    assert same == (one[16:] == other[16:])


@given(st.text(max_size=300) | st.from_regex(r"nexus_[a-z0-9-]{1,40}_[A-Za-z0-9]{30,140}\n?", fullmatch=True))
def test_parses_only_what_could_be_minted(text: str) -> None:
    """What parses is spelled exactly as its parts are; nothing is trimmed or folded."""
    key = keys.parse(text)
    assert key is None or (key.text == text and keys.org_of(key.id) == key.org)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nexus_",
        KEY.text + "\n",
        " " + KEY.text,
        KEY.text.upper(),
        KEY.text.replace("nexus", "Nexus"),
        KEY.text[:-1],
        KEY.text + "_",
        KEY.text + "A" * 200,
        KEY.text.replace("default", "a" * 21),
        KEY.text.replace("default", ""),
        KEY.text.replace("default", "key#x"),
        KEY.text[:-1] + "\N{FULLWIDTH LATIN CAPITAL LETTER A}",
        KEY.text[:-1] + "\N{ARABIC-INDIC DIGIT ONE}",
        KEY.text + "\0",
        "sk-" + KEY.text,
    ],
)
def test_refuses_what_is_no_key(text: str) -> None:
    """Near misses, other alphabets, line ends and other people's keys."""
    assert keys.parse(text) is None


@pytest.mark.parametrize(
    "key_id", ["", "default", KEY.id + "\n", KEY.id.upper(), f"{KEY.id}a", f"a#{KEY.id}", "-" + KEY.id]
)
def test_refuses_what_is_no_id(key_id: str) -> None:
    """Only what `mint` makes names an organization."""
    assert keys.org_of(key_id) is None


@pytest.mark.parametrize("org", ["", "Default", "a-b", "a" * 21, "a_b", "é", "a\n"])
def test_mints_for_no_impossible_organization(org: str) -> None:
    """An organization that could not be parsed back has no keys."""
    with pytest.raises(ValueError, match="organization"):
        keys.mint(org, bytes(48))


def test_mints_from_no_less_chance_than_it_needs() -> None:
    """Too few random bytes are an error, not a weak key."""
    with pytest.raises(ValueError, match="48 random bytes, not 32"):
        keys.mint("default", bytes(32))


def test_stores_a_keyed_digest_of_the_whole_key() -> None:
    """HMAC-SHA-256 under the pepper, of the text as it is sent."""
    expected = hmac.new(b"pepper", KEY.text.encode(), hashlib.sha256).hexdigest()
    assert keys.digest("pepper", KEY) == expected


def test_hashes_nothing_without_a_pepper() -> None:
    """An empty pepper would be a plain hash."""
    with pytest.raises(ValueError, match="pepper"):
        keys.digest("", KEY)


@given(one=CHANCE, other=CHANCE)
def test_verifies_a_key_by_its_own_digest_only(one: bytes, other: bytes) -> None:
    """Its own digest opens it; another's, another pepper's, and none do not."""
    key, stranger = keys.mint("a", one), keys.mint("a", other)
    assert keys.verify("pepper", key, keys.digest("pepper", key))
    assert keys.verify("pepper", stranger, keys.digest("pepper", key)) == (key == stranger)
    assert not keys.verify("pepper", key, keys.digest("another", key))
    assert not keys.verify("pepper", key, None)


@pytest.mark.parametrize("stored", ["", "0" * 64, "é", KEY.text])
def test_verifies_nothing_against_a_broken_digest(stored: str) -> None:
    """What is no digest, the stand-in for missing ones included, opens nothing and breaks nothing."""
    assert not keys.verify("pepper", KEY, stored)


def test_shows_no_secret() -> None:
    """What may be shown, and what a trace would print, is the beginning and the last four."""
    shown = f"nexus_{KEY.id}_...{KEY.secret[-4:]}"
    assert (KEY.display, repr(KEY), f"{KEY}") == (shown, f"Key({shown})", f"Key({shown})")
    assert KEY.secret[:-4] not in shown
