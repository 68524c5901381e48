"""libvirt's errors as cloudkit's."""

from __future__ import annotations

import errno
from collections.abc import Callable

import libvirt

from cloudkit.errors import (
    AlreadyExists,
    Busy,
    CloudError,
    Conflict,
    InvalidRequest,
    InvalidState,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from cloudkit_libvirt import ssh_transport

# The test driver says "operation failed" where the QEMU driver has a code of its own for a volume that exists.
EXISTS = frozenset({libvirt.VIR_ERR_STORAGE_VOL_EXIST, libvirt.VIR_ERR_OPERATION_FAILED})

_KINDS: dict[int, type[CloudError]] = {
    libvirt.VIR_ERR_NO_SUPPORT: Unsupported,
    libvirt.VIR_ERR_INVALID_ARG: InvalidRequest,
    libvirt.VIR_ERR_DOM_EXIST: AlreadyExists,
    libvirt.VIR_ERR_OPERATION_DENIED: PermissionDenied,
    libvirt.VIR_ERR_XML_ERROR: InvalidRequest,
    libvirt.VIR_ERR_NETWORK_EXIST: AlreadyExists,
    libvirt.VIR_ERR_RPC: Unavailable,
    libvirt.VIR_ERR_NO_DOMAIN: NotFound,
    libvirt.VIR_ERR_NO_NETWORK: NotFound,
    libvirt.VIR_ERR_AUTH_FAILED: Unauthenticated,
    libvirt.VIR_ERR_NO_STORAGE_POOL: NotFound,
    libvirt.VIR_ERR_NO_STORAGE_VOL: NotFound,
    libvirt.VIR_ERR_OPERATION_INVALID: InvalidState,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: Busy,
    libvirt.VIR_ERR_AUTH_CANCELLED: Unauthenticated,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: Unauthenticated,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_RESOURCE_BUSY: Busy,
    libvirt.VIR_ERR_ACCESS_DENIED: PermissionDenied,
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: AlreadyExists,
    libvirt.VIR_ERR_CPU_INCOMPATIBLE: Unsupported,
    libvirt.VIR_ERR_NO_CONNECT: Unavailable,
    libvirt.VIR_ERR_INVALID_CONN: Unavailable,
}

_UNREACHABLE_HINT = (
    "Check that libvirtd (or virtqemud) runs: `systemctl start libvirtd`; that the URI is right; and that this "
    "user may use the socket (group libvirt)."
)
_DISK_IN_USE = "Is another process using the image"
"""QEMU's words, of a guest and of qemu-img alike, for a file that another QEMU has locked."""
_QEMU_ENDED = ("process exited while connecting to monitor", "unexpectedly closed the monitor")
_QEMU_HINT = "Its own words tell why. Where they speak of KVM, this host's cannot run guests: set virt_type=qemu."
_NO_DRIVER = ("no connection driver available", "libvirt was built without the")
_NO_DRIVER_HINT = (
    "Check the URI: servers are made on QEMU and KVM, as by libvirt+qemu:///system. libvirt's driver for them may be "
    "a package of its own: libvirt-daemon-driver-qemu."
)
_LONG_PATH_HINT = (
    "libvirt makes its sockets below $XDG_CONFIG_HOME or ~/.config: set XDG_CONFIG_HOME to a shorter path, "
    "and restart the user's libvirtd."
)
_AUTH_HINT = "Add the user to the group libvirt, or use a URI with credentials that libvirt accepts."


class PoolFull(OSError):
    """There was no room in a pool.

    Attributes:
        pool: its name; None for the main one.
        free_bytes: tells what is free in it.
    """

    def __init__(self, text: str, pool: str | None, free_bytes: Callable[[], int | None]) -> None:
        super().__init__(errno.ENOSPC, text)
        self.pool = pool
        self.free_bytes = free_bytes

    def __str__(self) -> str:
        return str(self.strerror)


def code_of(error: BaseException) -> int | None:
    """Libvirt's error code, or None for another exception."""
    return error.get_error_code() if isinstance(error, libvirt.libvirtError) else None


def translate(error: Exception, free_bytes: Callable[[], int | None]) -> CloudError:
    """The CloudError for what libvirt or the system raised; ``free_bytes`` is asked when the pool is full."""
    if isinstance(error, CloudError):
        return error
    if is_pool_full(error):
        return _pool_full(error, free_bytes)
    if isinstance(error, libvirt.libvirtError):
        return _of_libvirt(error)
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return InvalidState(
            f"the storage pool has no {error} any more",
            driver="libvirt",
            hint="Somebody has removed it: delete what it belongs to, and make it anew.",
        )
    return CloudError(f"unexpected: {type(error).__name__}: {error}", driver="libvirt")


def _of_libvirt(error: libvirt.libvirtError) -> CloudError:
    text = error.get_error_message() or str(error)
    code = error.get_error_code() or 0
    if any(words in text for words in _NO_DRIVER):
        return Unsupported(
            "this libvirt has no driver for the URI's hypervisor", driver="libvirt", fault=text, hint=_NO_DRIVER_HINT
        )
    if "read only access prevents" in text:
        return PermissionDenied(
            "this way to libvirt is for reading only, and the records are in volumes, which it does not let be read",
            driver="libvirt",
            fault=text,
            hint="Use libvirt's ordinary socket, and the option read_only=true to change nothing.",
        )
    if (failure := ssh_transport.failure_of(text)) is not None:
        return failure
    if is_unreachable(error):
        return unreachable(error)
    if is_pool_busy(error):
        return Busy("the pool is being written to", driver="libvirt", fault=text)
    if _DISK_IN_USE in text:
        return Busy("the disk is being copied or written to", driver="libvirt", fault=text)
    if "Cannot allocate memory" in text:
        return QuotaExceeded(
            "the host has not enough memory", driver="libvirt", fault=text, hint="Stop or delete servers."
        )
    if "is already in use by interface" in text:
        return Conflict("the subnet's addresses are in use on the host", driver="libvirt", fault=text)
    if "UNIX socket path" in text and "too long" in text:
        return CloudError(
            "the home folder's path is too long for libvirt", driver="libvirt", fault=text, hint=_LONG_PATH_HINT
        )
    if any(words in text for words in _QEMU_ENDED):
        return CloudError("QEMU ended right at its start", driver="libvirt", fault=text, hint=_QEMU_HINT)
    kind = _KINDS.get(code, CloudError)
    hint = _AUTH_HINT if kind in (Unauthenticated, PermissionDenied) else None
    return kind("libvirt refused", driver="libvirt", fault=text, hint=hint)


def unreachable(error: Exception) -> Unavailable:
    """The error for a daemon that does not answer, or no longer."""
    if isinstance(error, Unavailable):
        return error
    text = (error.get_error_message() if isinstance(error, libvirt.libvirtError) else None) or str(error)
    return Unavailable("libvirt does not answer", driver="libvirt", fault=text, hint=_UNREACHABLE_HINT)


def silent() -> Unavailable:
    """The error for a daemon that lets itself be called and then says nothing."""
    return Unavailable(
        "libvirt accepts a connection and does not answer",
        driver="libvirt",
        hint="Its daemon hangs: `systemctl restart libvirtd` ends that; servers go on running meanwhile.",
    )


def is_unreachable(error: Exception) -> bool:
    """Whether the daemon could not be asked at all, or its answer was lost."""
    if not isinstance(error, libvirt.libvirtError):
        return isinstance(error, Unavailable)
    if error.get_error_code() in (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_RPC):
        return True
    return error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE) and (
        error.get_error_code() in (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR)
    )


def is_pool_full(error: BaseException) -> bool:
    """Whether there was no room; libvirt has no code of its own for it."""
    if isinstance(error, libvirt.libvirtError):
        return "No space left on device" in str(error)
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def is_pool_busy(error: libvirt.libvirtError) -> bool:
    """Whether something was refused because a volume is being made or copied; libvirt has no code for it."""
    return any(words in str(error) for words in ("asynchronous jobs", "still being allocated", "still in use"))


def _pool_full(error: Exception, free_bytes: Callable[[], int | None]) -> CloudError:
    name = None
    if isinstance(error, PoolFull):
        name, free_bytes = error.pool, error.free_bytes
    # Asked now, when what was half-made is deleted again.
    free = free_bytes()
    left = "" if free is None else f" Free now: {free >> 20} MiB."
    return QuotaExceeded(
        f"the storage pool {name!r} is full" if name else "the storage pool is full",
        driver="libvirt",
        fault=str(error),
        hint=f"Delete images, volumes or servers, or enlarge the pool's file system.{left}",
    )
