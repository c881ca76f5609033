"""Passwords are stored as Argon2id, memory-hard, so that a stolen table is dear to guess from.

Parameters: RFC 9106, section 4, the second recommended option (64 MiB, 3 passes, 4 lanes), which is also argon2-cffi's.
They stand in each hash, so that older ones keep working when these change.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

LONGEST: Final = 1024  # characters; a longer password is none
# The hash of a password that nobody has, for users that do not exist: they take as long as the others.
_NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$ksB5ZJv+5TYXLYDVxmgpbQ$OTUhrbfvMucwm19PqikBawJ+vZCKQ5fcfLz4VgQZj7w"
_hasher: Final = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def hashed(password: str) -> str:
    """Return what is stored of a password.

    Raises:
        ValueError: it is empty, or longer than `LONGEST`.
    """
    if not 0 < len(password) <= LONGEST:
        raise ValueError(f"A password has 1 to {LONGEST} characters.")
    return _hasher.hash(_same(password))


def verify(stored: str | None, password: str) -> bool:
    """Tell whether `stored` is the hash of `password`; takes as long where there is none (None)."""
    try:
        _hasher.verify(_NOBODY if stored is None else stored, _same(password[:LONGEST]))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None and len(password) <= LONGEST


def _same(password: str) -> str:
    """Return the one form of a text that keyboards type differently (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
