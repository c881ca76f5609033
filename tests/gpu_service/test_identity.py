"""Google's identity tokens open the service for the accounts that are named, and nothing else of the kind does."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gpu_service.errors import IdentityUnknown
from gpu_service.guard import Identity
from gpu_service.identity import Identities
from shared.core.errors import Unauthorized
from shared.core.tokens import decode, encode
from shared.edge.jwks import PAUSE_SECONDS
from tests.fakes import tokens as t
from tests.functions.tokens import test_hostile_tokens
from tests.gpu_service import google
from tests.gpu_service.client import Client, Heard, HeldEngine
from tests.gpu_service.google import CALLER, GOOGLE, KEYS, NOW, URL, Provider, claims

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def provider() -> Iterator[str]:
    """Give the address of Google's keys."""
    with google.serving() as address:
        yield address


def confused(secret: bytes) -> str:
    """Sign with a public key as if it were a shared secret."""
    signed = f"{t.part({'alg': 'HS256', 'kid': 'rsa-1'})}.{t.part(claims())}"
    return f"{signed}.{encode(t.hs256(signed.encode(), secret))}"


def elliptic() -> str:
    """Sign with the provider's elliptic key, which is no key of Google's kind."""
    signed = f"{t.part({'alg': 'ES256', 'kid': 'ec-1'})}.{t.part(claims())}"
    return f"{signed}.{encode(t.es256(signed.encode(), t.ec_key()))}"


GOOD = t.foreign(claims())
HEAD, SAID, SIGNATURE = GOOD.split(".")
HOSTILE = {
    "none": f"{t.part({'alg': 'none', 'kid': 'rsa-1'})}.{SAID}.",
    "nOnE": f"{t.part({'alg': 'nOnE', 'kid': 'rsa-1'})}.{SAID}.{SIGNATURE}",
    "no signature": f"{HEAD}.{SAID}.",
    "the signature that Cloud Run leaves": f"{HEAD}.{SAID}.SIGNATURE_REMOVED_BY_GOOGLE",
    "a signature of zeros": f"{HEAD}.{SAID}.{encode(bytes(256))}",
    "the signature of another token": f"{HEAD}.{t.part(claims(sub='2'))}.{SIGNATURE}",
    "a signature one byte short": f"{HEAD}.{SAID}.{encode(decode(SIGNATURE)[:-1])}",
    "HS256 with the public key in PEM": confused(t.pem(t.rsa_key(0))),
    "HS256 with the public key in DER": confused(t.der(t.rsa_key(0))),
    "ES256 with the provider's other key": elliptic(),
    "RS256 under the kid of the elliptic key": t.foreign(claims(), {"kid": "ec-1"}),
    "RS512": t.foreign(claims(), {"alg": "RS512"}),
    "PS256": t.foreign(claims(), {"alg": "PS256"}),
    "a stranger's key": t.foreign(claims(), key=1),
    "a stranger's key in the token": t.foreign(claims(), {"jwk": t.rsa_jwk(t.rsa_key(1))}, key=1),
    "a stranger's address": t.foreign(claims(), {"jku": "http://127.0.0.1:1/keys"}, key=1),
    "x5u": t.foreign(claims(), {"x5u": "http://127.0.0.1:1/keys"}),
    "x5c": t.foreign(claims(), {"x5c": ["MIIB"]}),
    "crit": t.foreign(claims(), {"crit": ["exp"]}),
    "a kid that nobody has": t.foreign(claims(), {"kid": "rsa-2"}),
    "no kid": t.foreign(claims(), {"kid": ...}),
    "a kid that is a path": t.foreign(claims(), {"kid": "../../../dev/null"}),
    "a kid with a new line": t.foreign(claims(), {"kid": "rsa-1\nx: y"}),
    "a kid that is SQL": t.foreign(claims(), {"kid": "x' UNION SELECT 'k'--"}),
    "expired": t.foreign(claims(exp=NOW - 60)),
    "exp missing": t.foreign(claims(exp=...)),
    "exp true": t.foreign(claims(exp=True)),
    "exp text": t.foreign(claims(exp=str(NOW + 60))),
    "exp infinite": t.foreign(json.dumps(claims()).replace(str(NOW + 3590), "Infinity")),
    "exp 1e400": t.foreign(json.dumps(claims()).replace(str(NOW + 3590), "1e400")),
    "exp in ten years": t.foreign(claims(exp=NOW + 10 * 365 * 86_400)),
    "nbf to come": t.foreign(claims(nbf=NOW + 600)),
    "iat to come": t.foreign(claims(iat=NOW + 600)),
    "iss missing": t.foreign(claims(iss=...)),
    "iss a list": t.foreign(claims(iss=[GOOGLE])),
    "iss that only begins so": t.foreign(claims(iss=f"{GOOGLE}.attacker.example")),
    "iss that only ends so": t.foreign(claims(iss=f"https://attacker.example/{GOOGLE}")),
    "aud missing": t.foreign(claims(aud=...)),
    "aud empty": t.foreign(claims(aud="")),
    "aud of another service": t.foreign(claims(aud="https://other-1234.europe-west1.run.app")),
    "aud that only begins so": t.foreign(claims(aud=f"{URL}.attacker.example")),
    "aud with a slash more": t.foreign(claims(aud=f"{URL}/")),
    "aud an object": t.foreign(claims(aud={URL: True})),
    "sub an object": t.foreign(claims(sub={"id": "1"})),
    "claims twice": t.foreign(json.dumps(claims())[:-1] + f', "email": "{CALLER}"}}'),
    "two parts": f"{HEAD}.{SAID}",
    "deep": f"{HEAD}.{t.part('[' * 2500)}.{SIGNATURE}",
    "no token": "a-shared-secret",
    "too long": t.foreign(claims(padding="x" * 8000)),
    "no ASCII": "\u00e9" * 40,
}
STRANGERS = {
    "another account": claims(email="mallory@project.iam.gserviceaccount.com"),
    "an address that nobody has verified": claims(email_verified=False),
    "an address that is verified in a text": claims(email_verified="true"),
    "an address that is verified in a number": claims(email_verified=1),
    "no word on the address": claims(email_verified=...),
    "no address": claims(email=...),
    "a list of addresses": claims(email=[CALLER]),
    "an address that only ends so": claims(email=f"x.{CALLER}"),
}


OTHER = "https://embedder-abc-ew.a.run.app"


def ask(authorization: str | list[str] | None, provider: str, path: str = "/keys", **changes: Any) -> Heard:
    """Ask an application of its own for the list of models."""
    given = [authorization] if isinstance(authorization, str) else authorization or []
    audiences = changes.pop("audiences", (URL,))
    rules = Identity(audiences, frozenset({CALLER}), jwks_url=f"{provider}{path}")

    async def situation() -> Heard:
        async with Client(HeldEngine, guard="identity", identity=rules, **changes) as client:
            headers = [("authorization", value) for value in given]
            return await client.ask("GET", "/v1/models", headers=headers)

    return asyncio.run(situation())


def test_a_good_token_opens_and_another_audience_does_not(provider: str) -> None:
    """Signed by Google's key, for this service, by a named account with a verified address; in any case of letters."""
    assert ask(f"Bearer {GOOD}", provider).status == 200
    assert ask(f"bearer {t.foreign(claims(email=CALLER.upper(), aud=[URL]))}", provider).status == 200
    assert len(set(HOSTILE.values())) == len(HOSTILE)


@pytest.mark.parametrize(
    ("audience", "status"),
    [(URL, 200), (OTHER, 200), ([OTHER], 200), (f"{URL},{OTHER}", 401), ("https://x-1234.run.app", 401), ("", 401)],
)
def test_a_service_has_several_urls(audience: str | list[str], status: int, provider: str) -> None:
    """A token for any of them opens, and one for all of them in a row, or for none, does not."""
    token = t.foreign(claims(aud=audience))

    assert ask(f"Bearer {token}", provider, audiences=(URL, OTHER)).status == status


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_token_is_refused(text: str, provider: str) -> None:
    """401 in plain words, and nothing is asked for but the one configured address, once."""
    heard = ask(f"Bearer {text}", provider)

    assert (heard.status, heard.json["error"]["code"]) == (401, "invalid_api_key")
    assert heard.headers["www-authenticate"].startswith("Bearer")
    assert Provider.asked in ([], ["/keys"])
    assert not any(piece in heard.body.decode() for piece in text.split(".") if len(piece) > 10)


def test_the_hostile_tokens_of_the_gateway_are_refused(provider: str) -> None:
    """More than a hundred of them, made for other issuers."""
    rules = Identity((URL,), frozenset({CALLER}), jwks_url=f"{provider}/keys")

    async def situation() -> None:
        identities = Identities(rules)
        for text in [*test_hostile_tokens.HOSTILE.values(), test_hostile_tokens.GOOD]:
            with pytest.raises(Unauthorized):
                await identities.check(text)

    asyncio.run(situation())
    assert len(Provider.asked) <= 1


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS.keys())
def test_other_accounts_may_not(said: dict[str, Any], provider: str) -> None:
    """A token that Google signed for this service, of an account that is not named: 403, and no address is told."""
    heard = ask(f"Bearer {t.foreign(said)}", provider)

    assert (heard.status, heard.json["error"]["code"]) == (403, "permission_denied")
    assert "gserviceaccount" not in heard.body.decode()


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", f"Basic {GOOD}", GOOD, [f"Bearer {GOOD}"] * 2])
def test_one_bearer_token_is_asked_for(shown: str | list[str] | None, provider: str) -> None:
    """None, another scheme, or two of them: 401 that says what is needed, and nobody is asked."""
    heard = ask(shown, provider)

    assert (heard.status, Provider.asked) == (401, [])
    assert "an identity token for it" in heard.json["error"]["message"]


@pytest.mark.parametrize("path", ["/moved", "/down", "/html", "/large"])
def test_without_keys_nobody_can_tell(path: str, provider: str) -> None:
    """A redirect, an error, no keys or too much: 503 with a time, while the shared token opens as ever."""
    heard = ask(f"Bearer {GOOD}", provider, path)

    assert (heard.status, heard.json["error"]["code"], heard.headers["retry-after"]) == (
        503, "identity_unavailable", "5",
    )  # fmt: skip
    assert Provider.asked == [path]
    assert ask("Bearer right", provider, path, token="right").status == 200


def test_keys_are_read_again_for_a_new_one_and_a_good_token_is_believed_for_five_minutes() -> None:
    """A kid that is new is found a minute later; a token's signature is looked at once, and none outlives its time."""
    clock, served = [float(NOW)], [KEYS.encode()]
    asked = 0

    def fetch(_url: str) -> bytes:
        nonlocal asked
        asked += 1
        return served[0]

    async def situation() -> None:
        identities = Identities(Identity((URL,), frozenset({CALLER})), fetch, lambda: clock[0])
        newer = t.foreign(claims(), {"kid": "rsa-9"})
        await identities.check(GOOD)
        served[0] = json.dumps({"keys": [t.rsa_jwk(t.rsa_key(0), kid="rsa-9")]}).encode()
        with pytest.raises(Unauthorized):
            await identities.check(newer)
        clock[0] += PAUSE_SECONDS
        await identities.check(newer)
        await identities.check(GOOD)  # its key is gone, and it is believed
        clock[0] += 300
        with pytest.raises(Unauthorized):
            await identities.check(GOOD)
        clock[0] = NOW + 3590 + 31
        with pytest.raises((Unauthorized, IdentityUnknown)):
            await identities.check(newer)

    asyncio.run(situation())
    assert asked == 3
