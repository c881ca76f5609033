"""How demanding a chat is: a number from 0 to 1 that can be explained by what was counted, and what each count adds.

It reads text with regular expressions, once, and asks no model. It is a guess, meant for choosing among models of
different strength, and nothing else hangs on it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core.usage import estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MOST_TEXT: Final = 60_000  # characters that are read: the first and the last half of them
WEIGHTS: Final = {
    "length": 0.25,
    "code": 0.2,
    "reasoning": 0.35,
    "effort": 0.3,
    "tools": 0.1,
    "form": 0.05,
    "languages": 0.05,
    "turns": 0.05,
    "images": 0.05,
}
_EFFORTS: Final = {"minimal": 0.1, "low": 0.3, "medium": 0.6, "high": 1.0, "xhigh": 1.0}
_LONG, _SHORT = 8_000, 40  # tokens from which on length counts fully, and up to which it counts nothing
_MANY_WORDS, _MANY_TOOLS, _MANY_TURNS = 3, 4, 12

# English first, then German, French, Spanish, Italian, Portuguese; and Chinese, Japanese, Russian.
_REASONING: Final = re.compile(
    r"\b(?:prove|proof|derive|deduce|theorem|step[- ]by[- ]step|reason(?:ing)?|explain why|justify|analy[sz]e|analysis"
    r"|compare|contrast|trade[- ]?offs?|evaluate|critique|optimi[sz]e|algorithm|complexity|design|architect(?:ure)?"
    r"|plan|strategy|debug|refactor|root cause|hypothes[ie]s|integral|equations?|probability|calculate|estimate"
    r"|beweise?n?|herleiten|begründe|analysiere|vergleiche|schritt für schritt|optimiere|berechne|entwirf"
    r"|prouve[rz]?|démontre[rz]?|analyse[rz]|compare[rz]|étape par étape|calcule[rz]?|optimise[rz]"
    r"|demuestra|analiza|compara|paso a paso|calcula|optimiza|dimostra|analizza|passo dopo passo|prove que|analise)\b"
    r"|证明|推导|分析|比较|步骤|优化|計算|証明|分析して|докажи|проанализируй|сравни|оптимизируй",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"```|^\s*(?:def|class|import|from|function|const|let|var|public|private|return|SELECT|INSERT|UPDATE|#include|fn|func)\b"
    r"|[;{}]\s*$|=>|->|::|Traceback \(most recent call last\)|\bat [\w.$]+\([\w.]+:\d+\)",
    re.MULTILINE,
)
_SCRIPTS: Final = {
    "latin": re.compile(r"[A-Za-z\u00c0-\u024f]"),
    "cyrillic": re.compile(r"[\u0400-\u04ff]"),
    "greek": re.compile(r"[\u0370-\u03ff]"),
    "arabic": re.compile(r"[\u0600-\u06ff]"),
    "hebrew": re.compile(r"[\u0590-\u05ff]"),
    "indic": re.compile(r"[\u0900-\u0dff]"),
    "thai": re.compile(r"[\u0e00-\u0e7f]"),
    "kana": re.compile(r"[\u3040-\u30ff]"),
    "han": re.compile(r"[\u4e00-\u9fff]"),
    "hangul": re.compile(r"[\uac00-\ud7af]"),
}


class Features(NamedTuple):
    """What was counted in one chat."""

    tokens: int = 0  # an estimate, of the texts alone
    code: int = 0  # lines that look like a program, or fences around one
    reasoning: tuple[str, ...] = ()  # words that ask for it, each once, in lower case
    effort: str = ""  # as the client asked for it
    tools: int = 0
    schema: bool = False  # the answer must keep to one
    scripts: tuple[str, ...] = ()  # families of letters
    turns: int = 0  # messages of users and models
    images: int = 0

    def parts(self) -> dict[str, float]:
        """Return what each feature adds to the score, those that add nothing left out."""
        shares = {
            "length": _between(math.log(self.tokens + 1), math.log(_SHORT), math.log(_LONG)),
            "code": min(1.0, self.code / 3),
            "reasoning": min(1.0, len(self.reasoning) / _MANY_WORDS),
            "effort": _EFFORTS.get(self.effort, 0.0),
            "tools": min(1.0, self.tools / _MANY_TOOLS),
            "form": float(self.schema),
            "languages": min(1.0, max(0, len(self.scripts) - 1)),
            "turns": min(1.0, max(0, self.turns - 1) / _MANY_TURNS),
            "images": float(self.images > 0),
        }
        return {name: round(share * WEIGHTS[name], 4) for name, share in shares.items() if share}

    def score(self) -> float:
        """Return how demanding it is, from 0 to 1."""
        return round(min(1.0, sum(self.parts().values())), 4)


def features(raw: Mapping[str, Any]) -> Features:
    """Count what there is in a chat, `raw` as OpenAI's clients write it, already checked."""
    messages: Sequence[Mapping[str, Any]] = raw.get("messages") or ()
    parts = [part for message in messages for part in _parts(message)]
    text = _bounded("\n".join(_texts(parts)))
    spoken = [message for message in messages if message.get("role") in {"user", "assistant"}]
    return Features(
        tokens=estimate(sum(len(said.encode(errors="replace")) for said in _texts(parts))),
        code=len(_CODE.findall(text)),
        reasoning=tuple(sorted({found.lower() for found in _REASONING.findall(text)})),
        effort=str(raw.get("reasoning_effort") or ""),
        tools=len(raw.get("tools") or raw.get("functions") or ()),
        schema=(raw.get("response_format") or {}).get("type") == "json_schema",
        scripts=tuple(name for name, pattern in _SCRIPTS.items() if pattern.search(text)),
        turns=len(spoken),
        images=sum(part.get("type") == "image_url" for part in parts),
    )


def _parts(message: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else ()


def _texts(parts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (part["text"] for part in parts if isinstance(part.get("text"), str))


def _bounded(text: str) -> str:
    half = MOST_TEXT // 2
    return text if len(text) <= MOST_TEXT else f"{text[:half]}\n{text[-half:]}"


def _between(value: float, low: float, high: float) -> float:
    """Return where `value` lies between the two, within 0 and 1."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
