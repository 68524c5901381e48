"""OpenStack's errors as cloudkit's.

The HTTP status alone does not tell the kind: over quota is 403 at Nova, 409 at Neutron and 413 at Cinder, and a
thing that is named in a request and does not exist is 400. So the error's type (Neutron) or its text decide, which
are stable: clients have been comparing them for years.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from keystoneauth1 import exceptions as ka
from openstack.exceptions import ConfigException

from cloudkit.errors import (
    AlreadyExists,
    Busy,
    CloudError,
    ConfigError,
    Conflict,
    InUse,
    InvalidRequest,
    InvalidState,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

DRIVER = "openstack"

_NEUTRON: Mapping[str, type[CloudError]] = {
    "OverQuota": QuotaExceeded,
    "ExternalGatewayForFloatingIPNotFound": Conflict,
    "FloatingIPPortAlreadyAssociated": Conflict,
    "IpAddressAlreadyAllocated": Conflict,
    "IpAddressInUse": Conflict,
    "IpAddressGenerationFailure": Conflict,
    "MacAddressInUse": AlreadyExists,
    "SecurityGroupRuleExists": AlreadyExists,
    "SecurityGroupCannotRemoveDefault": InUse,
    "DuplicateSubPort": Conflict,
    "TrunkPortInUse": InUse,
    "ParentPortInUse": InUse,
    "PortInUseAsSubPort": InUse,
    "PortInUseAsTrunkParent": InUse,
    "TrunkInUse": InUse,
}
"""Types of NeutronError whose HTTP status and text do not tell (neutron_lib.exceptions)."""

_TEXTS: tuple[tuple[str, type[CloudError]], ...] = (
    (r"quota|exceeds? (?:the )?(?:allowed|available|maximum allowed|limit)|exceeds available", QuotaExceeded),
    (r"while it is in task_state|is being (?:processed|used) by another", Busy),
    (
        r"while it is in vm_state|is locked|status must be|must be in|must be available|must use the force flag"
        r"|is protected|is already attached to|root device volume"
        r"|^Instance \S+ is not ready",
        InvalidState,
    ),
    (r"already exists|already been|duplicate", AlreadyExists),
    (r"overlaps? with|already in use on|already (?:has a port|allocated)", Conflict),
    (r"\bin[- ]use\b|have an IP allocation|cannot be deleted directly|(?:required|needed) by|are still", InUse),
)
"""What the texts of 400, 403, 409 and 413 mean, the first that fits."""

_MISSING = re.compile(
    r"could not be found|can ?not find|not found|unable to (?:find|access)|invalid key_name|does not exist", re.I
)
_MISSING_OK = (400, 403, 409, 413)
_TAG = re.compile(r"<[^>]*>")

_CA_HINT = "Check the CA file (cacert in clouds.yaml, OS_CACERT) and that the address is the certificate's."


def of_answer(
    status: int, content: bytes, service: str, request_id: str | None, retry_after_s: float | None
) -> CloudError:
    """The error for an answer whose status is none of success."""
    kind, text = message_of(content)
    error = _kind(status, kind, text, retry_after_s)
    details: dict[str, Any] = {"driver": DRIVER, "request_id": request_id}
    if error is RateLimited:
        details["retry_after_s"] = retry_after_s
    return error(text or f"the {service} service answered {status}", **details)


def message_of(content: bytes) -> tuple[str, str]:
    """Type and text of an error's body, in whichever form the service writes it."""
    try:
        body: Any = json.loads(content)
    except ValueError:
        text = _TAG.sub(" ", content[:4000].decode("utf-8", "replace"))
        return "", _one_line(text)
    if not isinstance(body, dict):
        return "", _one_line(str(body))
    fields = cast("dict[str, Any]", body)
    inner: Any = fields
    if "message" not in fields and len(fields) == 1:
        ((_, inner),) = fields.items()
    if isinstance(inner, dict):
        found = cast("dict[str, Any]", inner)
        text = found.get("message") or found.get("detail") or found.get("title") or ""
        return str(found.get("type") or ""), _one_line(_TAG.sub(" ", str(text)))
    return "", _one_line(str(inner))


def _kind(status: int, kind: str, text: str, retry_after_s: float | None) -> type[CloudError]:
    if kind in _NEUTRON:
        return _NEUTRON[kind]
    if status == 401:
        return Unauthenticated
    if status == 404:
        return NotFound
    if status == 429 or (status == 413 and retry_after_s):
        return RateLimited
    if status == 501:
        return Unsupported
    if status >= 500:
        return Unavailable
    if status in _MISSING_OK:
        for pattern, error in _TEXTS:
            if re.search(pattern, text, re.I):
                return error
        if _MISSING.search(text):
            return NotFound
    return {403: PermissionDenied, 409: Conflict}.get(status, InvalidRequest if status < 500 else CloudError)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def translate(error: Exception) -> CloudError:
    """The CloudError for what keystoneauth or openstacksdk raised."""
    if isinstance(error, CloudError):
        return error
    text = _one_line(str(error))
    request_id: str | None = getattr(error, "request_id", None)
    if isinstance(error, ka.SSLError):
        return Unavailable(
            "the service's certificate is not trusted", driver=DRIVER, fault=text, hint=_CA_HINT, retryable=False
        )
    if isinstance(error, ka.ConnectionError):
        return Unavailable("the service does not answer", driver=DRIVER, fault=text)
    if isinstance(error, ka.Unauthorized):
        return Unauthenticated("Keystone refused the credentials", driver=DRIVER, fault=text, request_id=request_id)
    if isinstance(error, ka.EndpointNotFound | ka.EmptyCatalog | ka.CatalogException):
        return Unsupported(
            "the catalog has no endpoint of this service",
            driver=DRIVER,
            fault=text,
            hint="Check region and interface; `cloudkit endpoints` shows the catalog.",
        )
    if isinstance(error, ka.MissingRequiredOptions | ka.NoMatchingPlugin | ka.OptionError | ConfigException):
        return ConfigError("the cloud's settings are incomplete or wrong", driver=DRIVER, fault=text)
    if isinstance(error, ka.MissingAuthPlugin | ka.AuthPluginException):
        return Unauthenticated("no way to log in is configured", driver=DRIVER, fault=text)
    if isinstance(error, ka.HttpError):
        kind = _kind(error.http_status or 500, "", text, None)
        return kind("Keystone refused", driver=DRIVER, fault=text, request_id=request_id)
    if isinstance(error, ka.DiscoveryFailure):
        return Unavailable("the service does not tell its versions", driver=DRIVER, fault=text)
    return CloudError(f"unexpected: {type(error).__name__}: {text}", driver=DRIVER)
