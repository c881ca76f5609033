"""What an adapter cannot know of its own request: where this function runs, and how to sign with its role."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.edge.sigv4 import Scope, headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.edge.sigv4 import Credentials
    from shared.providers.adapter import HttpRequest

_SIGNED = frozenset({"content-type"})  # the others are no concern of the signature


class Signer:
    """Completes requests to AWS; `region` is this function's own, `clock` is in epoch seconds."""

    def __init__(
        self, region: str, credentials: Callable[[], Credentials], clock: Callable[[], float] = time.time
    ) -> None:
        self._region = region
        self._credentials = credentials
        self._clock = clock

    def complete(self, request: HttpRequest) -> HttpRequest:
        """Return the request with the region where its URL leaves a place for it, and signed if it must be.

        Raises:
            AwsError: there are no credentials to sign with.
        """
        region = (request.signing.region if request.signing else "") or self._region
        if "{region}" in request.url:
            request = request._replace(url=request.url.replace("{region}", region))
        if request.signing is None:
            return request
        url = urlsplit(request.url)
        scope = Scope(region, request.signing.service)
        named = {name: value for name, value in request.headers.items() if name in _SIGNED or name.startswith("x-amz")}
        if scope.service == "s3":  # which alone wants the digest said
            named["x-amz-content-sha256"] = hashlib.sha256(request.body).hexdigest()
        signed = headers(
            self._credentials(),
            scope,
            url.netloc,
            request.body,
            named,
            now=self._clock(),
            method=request.method,
            path=url.path,
        )
        signed.pop("host")  # whoever sends it writes that
        return request._replace(headers=request.headers | signed)
