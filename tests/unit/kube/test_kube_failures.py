import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring_tls import errors
from monitoring_tls.kube.failures import error_from_event, error_from_response


def _status(code: int, reason: str, message: str = "text") -> dict[str, object]:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (403, "Forbidden", errors.ForbiddenError),
        (404, "NotFound", errors.NotFoundError),
        (409, "Conflict", errors.ConflictError),
        (409, "AlreadyExists", errors.AlreadyExistsError),
        (410, "Expired", errors.ExpiredError),
        (410, "Gone", errors.ExpiredError),
        (429, "TooManyRequests", errors.TooManyRequestsError),
        (422, "Invalid", errors.ApiError),
        (500, "InternalError", errors.ApiError),
    ],
)
def test_each_failure_has_its_type(code: int, reason: str, expected: type[errors.ApiError]) -> None:
    body = json.dumps(_status(code, reason)).encode()
    error = error_from_response(code, body, None, "GET", "/api/v1/secrets")
    assert type(error) is expected
    assert (error.status, error.reason, error.message) == (code, reason, "text")
    assert str(error) == f"GET /api/v1/secrets: {code} {reason}: text"
    assert type(error_from_event(_status(code, reason), "/x")) is expected


@pytest.mark.parametrize(
    "body", [b"<html>secret</html>", b"", b"[]", b'{"kind": "Secret", "message": "secret"}', b"\xff"]
)
def test_what_is_no_status_is_not_repeated(body: bytes) -> None:
    error = error_from_response(502, body, None, "GET", "/x")
    assert type(error) is errors.ApiError
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("header", "details", "expected"),
    [
        ("7", {}, 7.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        ("7", {"retryAfterSeconds": 3}, 7.0),
        (None, {}, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {}, None),
        ("-1", {}, None),
        ("²", {}, None),
    ],
)
def test_retry_after(header: str | None, details: dict[str, int], expected: float | None) -> None:
    body = json.dumps(_status(429, "TooManyRequests") | {"details": details}).encode()
    error = error_from_response(429, body, header, "GET", "/x")
    assert isinstance(error, errors.TooManyRequestsError)
    assert error.retry_after == expected


@given(
    status=st.integers(300, 599),
    body=st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "code", "details"]), inner),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    retry_after=st.none() | st.text(),
)
def test_whatever_comes_is_an_api_error(status: int, body: bytes, retry_after: str | None) -> None:
    assert isinstance(error_from_response(status, body, retry_after, "GET", "/x"), errors.ApiError)


def test_a_long_message_is_cut() -> None:
    body = json.dumps(_status(422, "Invalid", "x" * 100_000)).encode()
    assert len(error_from_response(422, body, None, "GET", "/x").message) == 1000


def test_an_event_without_a_code_is_a_server_error() -> None:
    assert error_from_event({"message": "?"}, "/x").status == 500


def test_errors_carry_their_data_and_can_be_copied() -> None:
    bad = errors.ProfileError("APIServer/cluster", "spec.tlsSecurityProfile", "Ancient", "choose Old")
    assert str(bad) == "APIServer/cluster: spec.tlsSecurityProfile: 'Ancient' cannot be used: choose Old"
    for error in (
        bad,
        errors.ApiUnreachableError("GET", "/x", "cut"),
        errors.LeadershipLostError("ns/lease", "me", 3.25),
        errors.KeyMismatchError("the key is another's", "Secret/x -n y", "tls.key"),
        errors.ConfigError("file", "is missing", "make it"),
    ):
        for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
            assert str(twin) == str(error)
            assert vars(twin) == vars(error)
    assert str(errors.LeadershipLostError("ns/lease", "me", None)).startswith("Lease ns/lease: me does not hold it")
    assert len(str(errors.SpecError("o", "f", "v" * 10_000, "r"))) < 200
