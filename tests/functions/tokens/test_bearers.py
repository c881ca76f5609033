"""Good tokens of every kind that is accepted get in, and what cannot be found out is an error and no refusal."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from shared.core.claims import Issuer, Rule
from shared.core.events import pseudonym
from shared.core.tokens import ALGORITHMS, BadToken
from shared.edge.aws import AwsUnavailableError
from shared.edge.jwks import Jwks, JwksUnavailableError
from shared.edge.signing import SigningSecretError
from shared.edge.verification import Verifier
from tests.fakes.tokens import JWKS, NOW, THEIRS, Gate, foreign, ours, theirs, token

if TYPE_CHECKING:
    from collections.abc import Callable

CURVES: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "": lambda: rsa.generate_private_key(65537, 2048),
}


def signed(algorithm: str, private: Any, **marks: str) -> tuple[str, Verifier]:
    """Sign as an identity provider does, and make what knows its key and accepts that algorithm alone."""
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    document = json.dumps({"keys": [{**jwk, "kid": "k", **marks}]}).encode()
    issuer = Issuer("idp", THEIRS, "api://nexus", JWKS, (algorithm,), role=Rule(otherwise="viewer"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a key that is too short, on purpose
        text = jwt.encode(theirs(), private, algorithm=algorithm, headers={"kid": "k"})
    return text, Verifier({THEIRS: (issuer, Jwks(JWKS, lambda _: document, lambda: NOW))}, lambda: NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_of_the_table_verifies(algorithm: str) -> None:
    """With a key of its type and curve, whether or not the key says what it is for."""
    text, verifier = signed(algorithm, CURVES[ALGORITHMS[algorithm][1]]())
    assert verifier.verify(text)[1]["sub"] == "00u1"
    text, verifier = signed(algorithm, CURVES[ALGORITHMS[algorithm][1]](), alg=algorithm, use="sig")
    assert verifier.verify(text)[0].name == "idp"


@pytest.mark.parametrize(
    ("algorithm", "private", "marks"),
    [
        ("RS256", lambda: rsa.generate_private_key(65537, 1024), {}),  # noqa: S505 - it is to be refused
        ("RS256", CURVES[""], {"alg": "RS512"}),
        ("RS256", CURVES[""], {"use": "enc"}),
        ("ES256", CURVES["P-256"], {"crv": "P-384"}),
        ("ES256", CURVES["P-256"], {"kty": "OKP"}),
        ("ES256", CURVES["P-256"], {"x": "AA"}),
    ],
    ids=["short", "for another algorithm", "for encryption", "another curve", "another type", "not on the curve"],
)
def test_a_key_is_used_for_what_it_is(algorithm: str, private: Callable[[], Any], marks: dict[str, str]) -> None:
    """A weak, mislabelled or broken key verifies nothing, although the signature is its own."""
    text, verifier = signed(algorithm, private(), **marks)
    with pytest.raises(BadToken, match="not signed by a key"):
        verifier.verify(text)


def test_an_issuer_may_use_the_configured_algorithms_and_no_other() -> None:
    """A token that its key would verify, signed with an algorithm that nobody allowed this issuer."""
    text, verifier = signed("RS512", CURVES[""]())
    issuer, keys = verifier.issuers[THEIRS]
    assert verifier.verify(text)
    with pytest.raises(BadToken, match="algorithm"):
        Verifier({THEIRS: (issuer._replace(algorithms=("RS256",)), keys)}, lambda: NOW).verify(text)


def test_a_foreign_user_is_let_in_under_its_own_name() -> None:
    """The verdict names the user so that limits and budgets can, and counts against the tier's plan."""
    verdict = Gate().verdict(foreign(theirs(plan="gold")))
    assert verdict["principalId"] == "default-jwt-pro-okta:00u1"
    assert verdict["usageIdentifierKey"] == "stack-pro"
    assert {name: verdict["context"][name] for name in ("user", "team", "role", "org")} == {
        "user": "okta:00u1",
        "team": "blue",
        "role": "developer",
        "org": "default",
    }


def test_a_log_knows_users_by_pseudonyms() -> None:
    """Their ids may be names, or addresses; they are the same as in the journal of money."""
    for sent, user in ((foreign(theirs(sub="ada@example.com")), "okta:ada@example.com"), (token(ours()), "alice")):
        told = Gate().verdict(sent)["context"]
        assert told["user"] == user
        assert told["logged_as"] == f"{told['key_id'].removesuffix(user)}{pseudonym(user)}"


def test_a_provider_that_is_down_is_no_refusal() -> None:
    """Nobody knows whether the token is good, so API Gateway answers 500 and not 401; ours work on."""
    gate = Gate()
    gate.provider.down = True
    with pytest.raises(JwksUnavailableError):
        gate.verdict(foreign(theirs()))
    assert gate.verdict(token(ours()))["principalId"] == "default-jwt-pro-alice"


@pytest.mark.parametrize(
    ("text", "error"), [("{}", SigningSecretError), ("", AwsUnavailableError)], ids=["another shape", "out of reach"]
)
def test_a_signing_secret_that_cannot_be_read_is_no_refusal(text: str, error: type[Exception]) -> None:
    """Our own tokens fail until it can; keys need none of it."""
    gate = Gate()
    gate.vault.kept = text
    with pytest.raises(error):
        gate.verdict(token(ours()))
