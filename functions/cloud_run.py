"""CloudFormation's custom resource that deploys the GPU service to Cloud Run, without any key of Google's.

The function's role at AWS stands for a service account there (workload identity federation, by google-auth).
CloudFormation waits for an answer for an hour. What takes longer than one invocation ends it with an error, upon which
Lambda starts it again with the same event, twice: whatever it does may be done again.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

from google.auth import aws
from google.auth.transport.requests import Request
from google.cloud import run_v2
from google.oauth2.credentials import Credentials
from msgspec import MsgspecError

from functions.cloud_run_services import FAILURES, FailedError, RefusedError, Services, UnderWayError, told_by
from shared.core.cloud_run import CloudRun, decode
from shared.edge.http import Http
from shared.edge.settings import GoogleSettings
from shared.providers.adapter import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOTHING: Final = "nothing"  # the id of a service that was never made, which there is no need to delete
SPARE_SECONDS: Final = 30.0  # of an invocation, to answer in
ANSWER_SECONDS: Final = 10.0
_LONGEST_REASON: Final = 1_000  # characters: CloudFormation takes an answer of 4,096 bytes
_OK: Final = range(200, 300)

Event = dict[str, Any]


class AnswerError(Exception):
    """CloudFormation did not take the answer."""


def handler(event: Event, context: Any) -> None:  # noqa: ANN401 - Lambda's
    """Entry point of the custom resource; an error has Lambda start it again."""
    google = GoogleSettings.from_env(os.environ)
    seconds = context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS
    tell(event, answer(event, lambda wanted: opened(wanted, google), seconds))


def answer(event: Event, open_services: Callable[[CloudRun], Services], seconds: float) -> dict[str, Any]:
    """Do what CloudFormation asks for within so many seconds; return what it is to be told.

    Raises:
        UnderWayError: it is not done yet; doing it again goes on with it.
    """
    place = event.get("PhysicalResourceId", NOTHING)
    try:
        if event["RequestType"] == "Delete":
            if place != NOTHING:
                open_services(_wanted(event)).delete(place, seconds)
            return _told(event, place)
        wanted = _wanted(event)
        address = open_services(wanted).deploy(wanted, event["RequestId"], seconds)
        return _told(event, wanted.place, address=address)
    except UnderWayError:
        raise
    except RefusedError as error:
        return _told(event, place, reason=str(error))
    except FailedError as error:
        return _told(event, place if event["RequestType"] == "Delete" else _wanted(event).place, reason=str(error))
    except Exception as error:  # noqa: BLE001 - without any answer CloudFormation would wait for an hour
        sys.stderr.write(json.dumps({"level": "ERROR", "stackTrace": traceback.format_exc()}) + "\n")
        return _told(event, place, reason=f"A {type(error).__name__}, of which this function's log tells more.")


def tell(event: Event, told: Mapping[str, Any]) -> None:
    """Put the answer where CloudFormation waits for it.

    Raises:
        AnswerError: it was not taken.
        UpstreamFailed: it could not be sent.
    """
    request = HttpRequest(event["ResponseURL"], {}, json.dumps(told).encode(), "PUT")
    http = Http()
    try:
        with http.post(request, ANSWER_SECONDS) as taken:
            taken.whole()
            if taken.head.status not in _OK:
                raise AnswerError(f"CloudFormation's answer was met with {taken.head.status}.")
    finally:
        http.drop()


def opened(wanted: CloudRun, google: GoogleSettings) -> Services:
    """Return the services as `wanted.deployer` reaches them.

    Raises:
        RefusedError: The role is not taken for the deployer.
    """
    account = f"{google.iam_url}/v1/projects/-/serviceAccounts/{wanted.deployer}"
    known = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{wanted.pool}",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": f"{google.sts_url}/v1/token",
        "service_account_impersonation_url": f"{account}:generateAccessToken",
        "credential_source": {
            "environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        },
    }
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    credentials = aws.Credentials.from_info(known, scopes=scopes)  # type: ignore[no-untyped-call]
    try:
        credentials.refresh(Request())  # once: a token lives longer than an invocation
    except FAILURES as error:
        message = f"Google gives this function's role no token of {wanted.deployer}: {told_by(error)}"
        raise RefusedError(message) from error
    options = {"api_endpoint": google.run_url}
    token = Credentials(credentials.token)  # type: ignore[no-untyped-call]
    return Services(run_v2.ServicesClient(credentials=token, transport="rest", client_options=options))


def _wanted(event: Event) -> CloudRun:
    try:
        return decode(event["ResourceProperties"]["Wanted"])
    except MsgspecError as error:
        raise RefusedError(f"What is wanted of Cloud Run cannot be read: {error}.") from error


def _told(event: Event, place: str, *, reason: str = "", address: str = "") -> dict[str, Any]:
    return {
        "Status": "FAILED" if reason else "SUCCESS",
        "Reason": reason[:_LONGEST_REASON],
        "PhysicalResourceId": place,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Address": address} if address else {},
    }
