"""Which error a refusal becomes: by body and service, as recorded from real services."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_of_answers import recorded
from keystoneauth1 import exceptions as ka

import cloudkit
from cloudkit_openstack.errors import message_of, of_answer, translate

REFUSALS: dict[str, dict[str, Any]] = recorded("refusals")

KINDS = {
    "cinder: attached": "InvalidState",
    "cinder: has snapshots": "InvalidState",
    "cinder: over quota": "QuotaExceeded",
    "cinder: shrink": "InvalidRequest",
    "cinder: unknown image": "NotFound",
    "cinder: unknown type": "NotFound",
    "cinder: unknown volume": "NotFound",
    "glance: not allowed": "PermissionDenied",
    "glance: protected": "InvalidState",
    "glance: unknown": "NotFound",
    "neutron: bad ip": "InvalidRequest",
    "neutron: default group": "InUse",
    "neutron: group in use": "InUse",
    "neutron: interface twice": "Conflict",
    "neutron: ip in use": "Conflict",
    "neutron: network in use": "InUse",
    "neutron: no way out": "Conflict",
    "neutron: not external": "InvalidRequest",
    "neutron: overlap": "Conflict",
    "neutron: router needed": "InUse",
    "neutron: rule exists": "AlreadyExists",
    "neutron: unknown": "NotFound",
    "nova: fixed ip in use": "Conflict",
    "nova: not allowed": "PermissionDenied",
    "nova: port in use": "InUse",
    "nova: same key": "AlreadyExists",
    "nova: small flavor": "InvalidRequest",
    "nova: start a running one": "InvalidState",
    "nova: unknown flavor": "NotFound",
    "nova: unknown image": "NotFound",
    "nova: unknown key": "NotFound",
    "nova: unknown network": "NotFound",
    "nova: unknown server": "NotFound",
    "nova: volume in use": "InvalidState",
}


def test_all_that_was_recorded_is_looked_at() -> None:
    assert REFUSALS.keys() == KINDS.keys()


@pytest.mark.parametrize("what", KINDS)
def test_a_refusal_is_of_its_kind(what: str) -> None:
    refusal = REFUSALS[what]
    error = of_answer(refusal["status"], refusal["body"].encode(), "x", "req-1", None)
    assert type(error).__name__ == KINDS[what]
    assert error.request_id == "req-1"
    assert error.message
    assert "{" not in error.message
    assert "<" not in error.message


@pytest.mark.parametrize(
    ("status", "body", "retry_after_s", "expected"),
    [
        # Train's API samples and messages (nova, api/openstack; glance, v2).
        (403, b'{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1, but already used '
              b'10 of 10 instances"}}', None, cloudkit.QuotaExceeded),
        (403, b'{"forbidden": {"code": 403, "message": "Quota exceeded, too many key pairs."}}', None,
         cloudkit.QuotaExceeded),
        (409, b'{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: [\'port\'].", '
              b'"detail": ""}}', None, cloudkit.QuotaExceeded),
        (409, b'{"conflictingRequest": {"code": 409, "message": "Cannot \'pause\' instance x while it is in '
              b'task_state powering-off"}}', None, cloudkit.Busy),
        (409, b'{"conflictingRequest": {"code": 409, "message": "Instance x is locked"}}', None,
         cloudkit.InvalidState),
        (409, b'{"conflictingRequest": {"code": 409, "message": "something else"}}', None, cloudkit.Conflict),
        (400, b'{"badRequest": {"code": 400, "message": "Cannot detach a root device volume"}}', None,
         cloudkit.InvalidState),
        (409, b'{"NeutronError": {"type": "MacAddressInUse", "message": "Unable to complete operation for network x. '
              b'The mac address y is in use.", "detail": ""}}', None, cloudkit.AlreadyExists),
        (413, b'{"overLimit": {"code": 413, "message": "Too many requests"}}', 7.0, cloudkit.RateLimited),
        (429, b"", 3.0, cloudkit.RateLimited),
        (401, b'{"error": {"code": 401, "message": "x", "title": "Unauthorized"}}', None, cloudkit.Unauthenticated),
        (404, b"<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1>No image<br /></body>",
         None, cloudkit.NotFound),
        (500, b'{"computeFault": {"code": 500, "message": "Unexpected API Error."}}', None, cloudkit.Unavailable),
        (502, b"<html>Bad Gateway</html>", None, cloudkit.Unavailable),
        (501, b"", None, cloudkit.Unsupported),
        (400, b"[]", None, cloudkit.InvalidRequest),
        (400, b'{"a": 1, "b": 2}', None, cloudkit.InvalidRequest),
        (418, b"", None, cloudkit.InvalidRequest),
    ],
)  # fmt: skip
def test_other_answers(
    status: int, body: bytes, retry_after_s: float | None, expected: type[cloudkit.CloudError]
) -> None:
    error = of_answer(status, body, "compute", None, retry_after_s)
    assert type(error) is expected
    assert error.message
    if isinstance(error, cloudkit.RateLimited):
        assert error.retry_after_s == retry_after_s


def test_a_text_is_one_line_without_markup() -> None:
    assert message_of(REFUSALS["glance: protected"]["body"].encode())[1].endswith(
        "is protected and cannot be deleted."
    )
    assert message_of(b"<p>two\n\n lines</p>") == ("", "two lines")


@pytest.mark.parametrize(
    ("error", "expected", "retryable"),
    [
        (ka.ConnectFailure("x"), cloudkit.Unavailable, True),
        (ka.ConnectTimeout("x"), cloudkit.Unavailable, True),
        (ka.SSLError("x"), cloudkit.Unavailable, False),
        (ka.Unauthorized("x"), cloudkit.Unauthenticated, False),
        (ka.EndpointNotFound("x"), cloudkit.Unsupported, False),
        (ka.MissingRequiredOptions([]), cloudkit.ConfigError, False),
        (ka.DiscoveryFailure("x"), cloudkit.Unavailable, True),
        (ka.InternalServerError("x"), cloudkit.Unavailable, True),
        (ka.Forbidden("x"), cloudkit.PermissionDenied, False),
        (KeyError("x"), cloudkit.CloudError, False),
        (cloudkit.NotFound("x"), cloudkit.NotFound, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_keystoneauth_raises(error: Exception, expected: type[cloudkit.CloudError], retryable: bool) -> None:
    found = translate(error)
    assert type(found) is expected
    assert found.retryable is retryable
