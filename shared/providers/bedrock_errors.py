"""Bedrock's refusals, as the client may see them: as an answer, or as a frame of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core import errors
from shared.providers import openai_errors
from shared.providers.documents import document

if TYPE_CHECKING:
    from shared.core.errors import GatewayError
    from shared.core.eventstream import Message
    from shared.providers.adapter import Head

_MODEL_FAILED, _SERVER_ERROR = 424, 500
_BUSY = frozenset({"serviceUnavailableException", "modelNotReadyException"})


def from_answer(head: Head, body: bytes, provider: str, secret: str) -> GatewayError:
    """Translate an answer outside 2xx. 424 says that the model failed, of which the request is not to blame."""
    found = openai_errors.error_object(body)
    if head.status == _MODEL_FAILED:
        head = head._replace(status=_SERVER_ERROR)
    return openai_errors.from_object(head, found, provider, secret)


def from_frame(frame: Message, provider: str, secret: str) -> GatewayError:
    """Translate a frame that is no event: an exception of the service's model, or an error of its machinery."""
    kind = frame.headers.get(":exception-type") or frame.headers.get(":error-code", "")
    said = {"message": frame.headers.get(":error-message"), **document(frame.payload)}
    if kind == "throttlingException":
        return errors.UpstreamRateLimited(
            f"The provider '{provider}' limits this gateway now; this is not a limit of your key. Try again later."
        )
    if kind in _BUSY:
        return errors.UpstreamUnavailable(f"The provider '{provider}' is not available now.")
    return openai_errors.from_stream(said, provider, secret)
