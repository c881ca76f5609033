"""What must be in no log: keys, the provider's credentials, and what people wrote and were told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.e2e.stack import CHAT, EMBEDDING, UPSTREAM_KEY, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2


def test_logs_hold_no_secret_and_no_words(
    http: httpx2.Client, stack: Stack, new_key: Callable[..., dict[str, Any]], tag: str
) -> None:
    """After answers, refusals and failures of every kind, the logs name the requests and nothing that was in them."""
    prompt = f"my secret wish {tag}"
    chat: Any = {"model": CHAT, "messages": [{"role": "user", "content": prompt}], "user": f"person-{tag}"}
    made = new_key(name="watched")["key"]
    ids = []
    for body, more in [
        (chat, {}),
        ({**chat, "stream": True}, {}),
        ({**chat, "temperature": prompt}, {}),
        ({**chat, "model": "gpt-17"}, {}),
        ({**chat, "simulated": {"mode": "echo_key"}}, {}),
        ({**chat, "stream": True, "simulated": {"truncate_after": 4}}, {}),
        (chat, {"authorization": f"Bearer {made}"}),
        (chat, {"authorization": f"Bearer {made[:-1]}-"}),
    ]:
        ids.append(http.post("/v1/chat/completions", json=body, headers=more).headers["x-request-id"])
    ids.append(http.post("/v1/embeddings", json={"model": EMBEDDING, "input": prompt}).headers["x-request-id"])
    logs = "\n".join(path.read_text(errors="replace") for path in stack.logs.glob("*.log*"))
    assert [number for number in ids if number not in logs] == []
    secrets = [tag, UPSTREAM_KEY, made, stack.client_key, stack.admin_key]
    assert [secret for secret in secrets if secret in logs or secret.rpartition("_")[2] in logs] == []
