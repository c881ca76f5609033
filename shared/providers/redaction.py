"""What a provider says may hold what no client must see: our key, our account, other keys, addresses inside."""

from __future__ import annotations

import re
from functools import cache

SHOWN = 500  # characters of a foreign message
_READ = 4 * SHOWN  # the pattern looks at no more: its time grows with the square of what somebody else chose to send
_HIDDEN = "[redacted]"


def redact(text: str, secret: str = "") -> str:
    """Return `text` on one line, shortened, without `secret` and all that looks like a key, an account, an address."""
    if secret:
        text = text.replace(secret, _HIDDEN)
    text = _suspicious().sub(_HIDDEN, text[:_READ])
    text = "".join(letter if letter.isprintable() else " " for letter in text[: SHOWN + 1])
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


@cache
def _suspicious() -> re.Pattern[str]:
    """Compile the pattern with the first error: most processes never see one.

    Keys are shown masked by some providers ("sk-proj-****abcd"), which still tells the end of ours.
    """
    return re.compile(
        r"(?:bearer|basic)\s+[^\s,;\"']+"
        r"|\b(?:sk|pk|rk|gsk|xai|nexus)[-_][\w*.-]{4,}"
        r"|\b(?:org|proj|user|key|api)[-_](?=[\w-]*\d)[\w-]{8,}"
        r"|\bAIza[\w-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
        r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
        r"|\barn:aws[\w-]*:[^\s,;\"']+|\b\d{12}\b"
        r"|\bproject(?:s|[ _](?:number|id))?[/=:#'\" ]+\d[\w-]{5,}|\bprojects/[\w-]+"
        r"|\b[\w.+-]+@[\w-]+\.[\w.-]+\w|\blocalhost\b[:\d]*|\bhost=['\"][^'\"]*"
        r"|\b(?:\d{1,3}\.){3}\d{1,3}\b[:\d]*|\[[\da-f:]*:[\da-f:]+\][:\d]*|\b(?:f[cd]|fe8)[\da-f]{0,2}:[\da-f:]+"
        r"|\b(?:[\w-]{1,63}\.){1,8}(?:internal|local|localdomain|svc|lan|corp|intra)\b[\w.-]*[:\d]*",
        re.IGNORECASE,
    )
