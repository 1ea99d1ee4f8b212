"""From an HTTP answer or a watch's ERROR event to an exception of our own."""

import json
from http import HTTPStatus
from typing import Any

from monitoring_tls.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    TooManyRequestsError,
)

_LONGEST_MESSAGE = 1000
"""Characters kept of the server's text: validation messages can list every field of an object."""

_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: ExpiredError,
}


def error_from_response(status: int, body: bytes, retry_after: str | None, method: str, path: str) -> ApiError:
    """The exception for a failed request.

    A body that is not a `Status` object comes from something between us and the API server. It is not repeated, since
    nothing is known about what it holds.

    Args:
        status: the HTTP status.
        body: the answer's body.
        retry_after: the `Retry-After` header.
        method: the HTTP method, for the message.
        path: the path, for the message.
    """
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict) or parsed.get("kind") != "Status":
        parsed = {"message": "the answer is not a Status object"}
    return _error(status, parsed, _seconds(retry_after), method, path)


def error_from_event(status: dict[str, Any], path: str) -> ApiError:
    """The exception for a watch's ERROR event, whose object is a `Status`."""
    code = status.get("code")
    return _error(code if isinstance(code, int) else 500, status, None, "WATCH", path)


def _error(code: int, status: dict[str, Any], retry_after: float | None, method: str, path: str) -> ApiError:
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or "")[:_LONGEST_MESSAGE]
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        details = status.get("details")
        if retry_after is None and isinstance(details, dict):
            retry_after = _seconds(details.get("retryAfterSeconds"))
        return TooManyRequestsError(code, reason, message, method, path, retry_after=retry_after)
    if code == HTTPStatus.CONFLICT and reason == "AlreadyExists":
        return AlreadyExistsError(code, reason, message, method, path)
    return _BY_STATUS.get(code, ApiError)(code, reason, message, method, path)


def _seconds(value: object) -> float | None:
    """A delay in whole seconds; Kubernetes never sends `Retry-After` as a date, which RFC 9110 would allow."""
    text = str(value)
    return float(text) if text.isascii() and text.isdigit() else None
