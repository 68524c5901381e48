"""paramiko, imported on use, and kept quiet.

It comes without type information, so it is ``Any`` here, for every checker alike.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from cloudkit.errors import MissingExtra


@cache
def load_paramiko() -> Any:
    """The module; raises MissingExtra."""
    try:
        return import_module("paramiko")
    except ImportError as error:
        raise MissingExtra(
            "SSH needs the module 'paramiko', which cannot be imported",
            fault=str(error),
            hint="Run: pip install 'cloudkit-sdk[ssh]'",
        ) from error


class _DebugOnly(logging.Filter):
    """Makes every record a DEBUG one.

    paramiko logs an ERROR with a traceback for each connection that does not come about, which is what booting
    looks like; what matters is raised.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


@cache
def quiet_log_channel(name: str) -> str:
    """Prepare the logger ``name`` (and its child for SFTP) for a Transport's ``set_log_channel``."""
    for logger in (logging.getLogger(name), logging.getLogger(f"{name}.sftp")):
        logger.addFilter(_DebugOnly())
        # Without any handler, logging would print warnings to stderr.
        logger.addHandler(logging.NullHandler())
    return name


def new_transport(sock: Any, log_channel: str) -> Any:
    """A Transport over a connected socket or channel, not started yet."""
    transport = load_paramiko().Transport(sock)
    transport.set_log_channel(quiet_log_channel(log_channel))
    # It would start a timer thread, which outlives a failed connection; we keep deadlines ourselves.
    transport.packetizer.start_handshake = _no_timer
    return transport


def _no_timer(_timeout: float) -> None:
    pass


def is_alive(transport: Any) -> bool:
    """Whether the other side answers.

    When a connection breaks, paramiko closes its channels first: for a moment, ``is_active`` is still true.
    """
    with suppress(load_paramiko().SSHException, OSError, EOFError):
        transport.global_request("keepalive@openssh.com")
    return bool(transport.is_active())


def close_channel(channel: Any) -> None:
    """Close a Channel, on a broken connection too."""
    with suppress(OSError, EOFError):
        channel.close()


def close_transport(transport: Any, timeout_s: float = 2.0) -> None:
    """Close a Transport with its socket, and wait until its thread has ended."""
    with suppress(OSError, EOFError):
        # Wakes the thread, which otherwise looks only every 0.1 s whether it is to end.
        transport.sock.shutdown(2)
    transport.close()
    transport.sock.close()
    if transport.ident is not None:
        transport.join(timeout_s)
