"""Creates, updates and deletes the GPU service at Cloud Run, by its name: doing so again does no harm."""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING, Any, Final

from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, RetryError
from google.auth.exceptions import GoogleAuthError
from google.iam.v1 import iam_policy_pb2, policy_pb2
from requests.exceptions import RequestException

from functions.revisions import OWNER, STACK, described

if TYPE_CHECKING:
    from google.api_core.operation import Operation
    from google.cloud import run_v2

    from shared.core.cloud_run import CloudRun

CALL_SECONDS: Final = 60.0
FAILURES: Final = (GoogleAPICallError, GoogleAuthError, RequestException, RetryError)


class RefusedError(Exception):
    """Nothing was made or changed; the message says why, in a sentence."""


class FailedError(Exception):
    """The service is there, and not as it shall be; the message says why, in a sentence."""


class UnderWayError(Exception):
    """It takes longer than this invocation may last."""


class Services:
    """The services of Cloud Run, by a client of theirs."""

    def __init__(self, client: run_v2.ServicesClient) -> None:
        self._client = client

    def deploy(self, wanted: CloudRun, request: str, seconds: float) -> str:
        """Make the service as `wanted` has it, or change it to that; return its address once it serves.

        Raises:
            RefusedError, FailedError, UnderWayError: As their docstrings say.
        """
        end = time.monotonic() + seconds
        try:
            operation = self._begun(wanted, request)
        except FAILURES as error:
            raise RefusedError(f"Google refuses to deploy {wanted.place}: {told_by(error)}") from error
        made = self._awaited(operation, end, f"{wanted.place} does not come to serve")
        try:
            self._client.set_iam_policy(_invoked_by(wanted), timeout=CALL_SECONDS)
        except FAILURES as error:
            raise FailedError(f"Google lets nobody call {wanted.place}: {told_by(error)}") from error
        return str(made.uri)

    def delete(self, place: str, seconds: float) -> None:
        """Delete the service at `place`, if it is there and ours.

        Raises:
            FailedError, UnderWayError: As their docstrings say.
        """
        end = time.monotonic() + seconds
        try:
            found = self._found(place)
            if found is None or found.labels.get(OWNER) != STACK:
                return
            operation = self._client.delete_service(name=place, timeout=CALL_SECONDS)
        except NotFound:
            return
        except FAILURES as error:
            raise FailedError(f"Google does not delete {place}: {told_by(error)}") from error
        self._awaited(operation, end, f"{place} is not deleted")

    def _begun(self, wanted: CloudRun, request: str) -> Operation:
        """Have the service made, or changed where it is there: also where another try has just made it."""
        existing = self._found(wanted.place)
        if existing is None:
            service = described(wanted, None, request)
            try:
                return self._client.create_service(
                    parent=wanted.parent, service=service, service_id=wanted.name, timeout=CALL_SECONDS
                )
            except Conflict:
                existing = self._client.get_service(name=wanted.place, timeout=CALL_SECONDS)
        if existing.labels.get(OWNER) != STACK:
            raise RefusedError(f"{wanted.place} is there already, and not made by AI-Nexus: delete it first.")
        try:
            return self._client.update_service(service=described(wanted, existing, request), timeout=CALL_SECONDS)
        except FAILURES as error:
            raise FailedError(f"Google refuses to change {wanted.place}: {told_by(error)}") from error

    def _found(self, place: str) -> run_v2.Service | None:
        try:
            return self._client.get_service(name=place, timeout=CALL_SECONDS)
        except NotFound:
            return None

    def _awaited(self, operation: Operation, end: float, trouble: str) -> Any:  # noqa: ANN401 - of any operation
        try:
            return operation.result(timeout=max(0.0, end - time.monotonic()))
        except concurrent.futures.TimeoutError as error:
            raise UnderWayError(f"{trouble}, so far.") from error
        except FAILURES as error:
            raise FailedError(f"{trouble}: {told_by(error)}") from error


def _invoked_by(wanted: CloudRun) -> iam_policy_pb2.SetIamPolicyRequest:
    """Let the one service account call the service, and nobody else."""
    binding = policy_pb2.Binding(role="roles/run.invoker", members=[f"serviceAccount:{wanted.invoker}"])
    return iam_policy_pb2.SetIamPolicyRequest(resource=wanted.place, policy=policy_pb2.Policy(bindings=[binding]))


def told_by(error: Exception) -> str:
    """Return what Google says, in its own words and on one line."""
    if isinstance(error, GoogleAuthError):
        error = Exception(*error.args[:1])  # what follows is the whole answer
    text = str(error.message) if isinstance(error, GoogleAPICallError) else str(error)
    return " ".join(text.split()) or type(error).__name__
