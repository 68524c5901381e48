"""Every error that cloudkit raises: one tree under :class:`CloudError`.

A driver translates what its back-end raised into one of these, once; the portable layer adds which operation
and which resource it was about. Each error says what went wrong and what to do next, carries what a program
needs to decide (``retryable``, ``resource``, ``fault``), holds no secret, and survives pickling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from cloudkit.types import Resource


class CloudError(Exception):
    """Something that was asked of a cloud did not happen.

    Attributes:
        message: what went wrong, in one sentence without the hint.
        driver: name of the driver that raised it (``"fake"``, ``"libvirt"``, ``"openstack"``), if known.
        operation: the verb, as ``"servers.create"``.
        resource: the value the error is about, or its id or name where no value is known.
        request_id: the service's own id of the failed request, to quote to an operator.
        fault: the back-end's own words.
        hint: what to do next.
        retryable: whether the same call can succeed later without a change by the caller.
        console_tail: the last lines of the server's console, where there is one and they explain something.
    """

    default_hint: ClassVar[str] = ""
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        driver: str | None = None,
        operation: str | None = None,
        resource: Resource | str | None = None,
        request_id: str | None = None,
        fault: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
        console_tail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.driver = driver
        self.operation = operation
        self.resource = resource
        self.request_id = request_id
        self.fault = fault
        self.hint = self.default_hint if hint is None else hint
        self.retryable = self.default_retryable if retryable is None else retryable
        self.console_tail = console_tail

    @property
    def message(self) -> str:
        # A property, because ExceptionGroup (a base of BatchFailed) makes the attribute read-only.
        return str(self.args[0])

    def add_context(
        self,
        *,
        driver: str | None = None,
        operation: str | None = None,
        resource: Resource | str | None = None,
    ) -> Self:
        """Fill in what is not known yet; what the driver has said is kept."""
        self.driver = self.driver or driver
        self.operation = self.operation or operation
        self.resource = self.resource or resource
        return self

    def __str__(self) -> str:
        origin = ": ".join(part for part in (self.driver, self.operation) if part)
        text = f"{origin}: {self.message}" if origin else self.message
        if self.fault and self.fault not in self.message:
            text += f" ({self.fault})"
        if self.request_id:
            text += f" [request {self.request_id}]"
        if self.hint:
            text += f"\n  {self.hint}"
        if self.console_tail:
            lines = "\n".join(f"  | {line}" for line in self.console_tail.splitlines())
            text += f"\n  the console's last lines:\n{lines}"
        return text


class NotFound(CloudError):
    """No such thing in this project, or it is not visible from here."""

    default_hint = "List what there is; a name matches exactly, and only within the current project."


class AmbiguousName(CloudError):
    """A name fits several things.

    Attributes:
        candidates: ids of all that fit.
    """

    default_hint = "Use one of the ids."

    def __init__(self, message: str = "", *, candidates: Sequence[str] = (), **details: Any) -> None:
        super().__init__(message, **details)
        self.candidates = tuple(candidates)


class Conflict(CloudError):
    """The request contradicts the state that something is in."""


class AlreadyExists(Conflict):
    """Something with this unique name, address or key exists already."""

    default_hint = "Choose another one, or use the one that exists."


class InUse(Conflict):
    """What was to be deleted or taken is used by something else."""

    default_hint = "Delete or detach what uses it first."


class InvalidState(Conflict):
    """The verb does not fit the status that the thing is in."""


class Busy(Conflict):
    """Another task on the same thing has not ended yet."""

    default_hint = "Try again once the running task has ended."
    default_retryable = True


class InvalidRequest(CloudError):
    """An argument is wrong; nothing was sent or changed."""


class Unauthenticated(CloudError):
    """The credentials were refused."""

    default_hint = "Check the profile's user, password or token; the values themselves are not shown here."


class PermissionDenied(CloudError):
    """The credentials are good, but their role does not allow this."""

    default_hint = "Ask for a role that allows it, or use another profile."


class QuotaExceeded(CloudError):
    """The project's quota does not allow one more."""

    default_hint = "See cloud.limits(); delete something, or have the quota raised."


class RateLimited(CloudError):
    """The service asks to slow down.

    Attributes:
        retry_after_s: seconds to wait before the next try, where the service said so.
    """

    default_hint = "Wait, then try again."
    default_retryable = True

    def __init__(self, message: str = "", *, retry_after_s: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class Unsupported(CloudError):
    """The back-end does not offer the capability.

    Attributes:
        capability: its name, as in ``cloud.capabilities``.
    """

    default_hint = "cloud.capabilities tells what this back-end offers."

    def __init__(self, message: str = "", *, capability: str = "", **details: Any) -> None:
        super().__init__(message, **details)
        self.capability = capability


class Unavailable(CloudError, ConnectionError):
    """The back-end does not answer, or its answer was lost."""

    default_hint = "Check that the service runs and that its address is right, then try again."
    default_retryable = True


class WaitTimeout(CloudError, TimeoutError):
    """A wait's deadline passed. Nothing was deleted: the thing may still get there."""

    default_hint = "Wait again with a longer timeout_s, or delete it."


class ResourceFailed(CloudError):
    """The back-end took the request and failed later: the thing went to an error status."""


class Closed(CloudError):
    """The Cloud was closed, or was opened by the parent of this process."""

    default_hint = "Call cloudkit.connect() again; each process needs a connection of its own."


class ConfigError(CloudError):
    """The configuration is incomplete or contradicts itself."""


class MissingExtra(ConfigError):
    """An optional part of cloudkit is not installed."""


class SshError(CloudError):
    """A shell into a server could not be had."""


class HostKeyUnknown(SshError):
    """The server's host key cannot be verified: nothing trustworthy to compare it with."""

    default_hint = "Pass host_key=, or create the server with inject_host_key=True."


class HostKeyChanged(SshError):
    """The host key is not the server's: another machine answers, or somebody sits in between."""

    default_hint = "Do not log in. If the guest was really reinstalled, pass its new key as host_key=."


class SshAuthFailed(SshError):
    """The server answered with the right host key and refused the user's key."""

    default_hint = "Check the user name and that the key is the one of the server's key pair."


class CommandFailed(SshError):
    """A command run with check=True ended with a status that is not 0.

    Attributes:
        exit_status: the command's exit status; -1 when a signal ended it.
        stdout, stderr: what it printed.
    """

    def __init__(
        self, message: str = "", *, exit_status: int = -1, stdout: str = "", stderr: str = "", **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.exit_status = exit_status
        self.stdout = stdout
        self.stderr = stderr


class BatchFailed(CloudError, ExceptionGroup[Exception]):
    """Some of many creates failed.

    Attributes:
        created: values that exist, in the order of the specs; empty after a roll-back.
        failed: pairs of (position in the batch, its error).
    """

    def __new__(cls, message: str = "", failed: Sequence[tuple[int, Exception]] = (), **_details: Any) -> Self:
        errors = [error for _, error in failed] or [CloudError("nothing was started")]
        return super().__new__(cls, message, errors)

    def __init__(
        self,
        message: str = "",
        failed: Sequence[tuple[int, Exception]] = (),
        *,
        created: Sequence[Resource] = (),
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.failed = tuple(failed)
        self.created = tuple(created)
        # What pickle makes it from.
        self.args = (message, self.failed)

    def derive(self, excs: Sequence[Any], /) -> ExceptionGroup[Any]:
        """The part of it that ``except*`` or ``split`` asks for: all is kept but the other errors."""
        positions = {id(error): position for position, error in self.failed}
        if any(id(error) not in positions for error in excs):
            # A part of a group among the errors has no position.
            return super().derive(excs)
        part = type(self)(self.message, [(positions[id(error)], error) for error in excs])
        part.__dict__.update(self.__dict__ | {"failed": part.failed})
        return part
