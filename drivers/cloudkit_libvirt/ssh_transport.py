"""libvirt on another host, reached by OpenSSH (``qemu+ssh://``).

libvirt runs ``ssh`` itself and knows few of its settings: it would wait minutes for a host that does not answer, ask
a terminal for passwords, and has no word for a file of known hosts. So it is given a command that runs ``ssh`` with
what is missing. The command is a file of its own for each connection, as libvirt hands it neither arguments nor
environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cloudkit.errors import CloudError, ConfigError, HostKeyChanged, HostKeyUnknown, Unauthenticated

CONNECT_TIMEOUT_S = 15
"""For TCP and the exchange of keys; ``ssh`` itself would wait as long as the kernel does, two minutes or more."""
_ALIVE_INTERVAL_S = 5
_ALIVE_COUNT = 3

_SCRIPT = """\
#!/usr/bin/env python3
import os
import sys

os.execvp("ssh", ["ssh", *{options!r}, *sys.argv[1:]])
"""


_PREFIX = "cloudkit-ssh-"


def is_openssh(uri: str) -> bool:
    """Whether libvirt runs ``ssh`` for it, and not a library."""
    return urlsplit(uri).scheme.endswith("+ssh")


def query_of(uri: str) -> dict[str, str]:
    """The settings in a URI."""
    # A plus sign in a path means itself.
    return dict(parse_qsl(urlsplit(uri).query.replace("+", "%2B"), keep_blank_values=True))


def with_ssh_command(uri: str) -> str:
    """The URI with a command in it, where libvirt would run ``ssh`` and none is named; raises ConfigError."""
    query = query_of(uri)
    if not is_openssh(uri):
        return uri
    if "command" in query:
        if "known_hosts" in query:
            raise ConfigError(
                "known_hosts is cloudkit's to tell ssh, and command names another program to run",
                driver="libvirt",
                hint="Leave one of them out of the URI.",
            )
        return uri
    if "known_hosts" in query and query.get("no_verify", "0") != "0":
        raise ConfigError(
            "known_hosts and no_verify contradict each other", driver="libvirt", hint="Leave out no_verify."
        )
    return f"{uri}{'&' if urlsplit(uri).query else '?'}command={quote(_write_command(query))}"


def remove_with(owner: object, uri: str) -> None:
    """Remove the command of a URI when its connection is no more, at the end of the process at the latest."""
    weakref.finalize(owner, remove_command, uri)


def remove_command(uri: str) -> None:
    """Remove the command of a URI that has one of ours."""
    folder = Path(query_of(uri).get("command", "")).parent
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _write_command(query: Mapping[str, str]) -> str:
    path = Path(tempfile.mkdtemp(prefix=_PREFIX)) / "ssh"
    path.write_text(_SCRIPT.format(options=ssh_options(query)))
    path.chmod(0o700)
    if not os.access(path, os.X_OK):
        shutil.rmtree(path.parent)
        raise ConfigError(
            f"no program can be run from {path.parent.parent}",
            driver="libvirt",
            hint="Set TMPDIR to a folder of a file system that is not mounted noexec.",
        )
    return str(path)


def ssh_options(query: Mapping[str, str]) -> list[str]:
    """What ``ssh`` is told beyond what libvirt tells it; the first value of an option counts."""
    settings = {
        "ConnectTimeout": str(CONNECT_TIMEOUT_S),
        "ServerAliveInterval": str(_ALIVE_INTERVAL_S),
        "ServerAliveCountMax": str(_ALIVE_COUNT),
    }
    if query.get("no_tty") != "0":
        settings["BatchMode"] = "yes"
    if "keyfile" in query:
        settings["IdentitiesOnly"] = "yes"
    if "known_hosts" in query:
        # ssh takes a list of files, in which percent signs begin tokens.
        path = os.path.expanduser(query["known_hosts"]).replace("%", "%%")
        settings |= {
            "UserKnownHostsFile": f'"{path}"',
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
        }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def ssh_arguments(uri: str) -> list[str]:
    """The command that logs in where libvirt does, as libvirt itself runs it; what is to run there is appended."""
    parts, query = urlsplit(uri), query_of(uri)
    argv = [query.get("command", "ssh"), "-T", "-e", "none"]
    for option, value in (("-p", parts.port), ("-l", parts.username), ("-i", query.get("keyfile"))):
        if value is not None:
            argv += [option, unquote(str(value)) if option == "-l" else str(value)]
    if query.get("no_verify", "0") != "0":
        argv += ["-o", "StrictHostKeyChecking=no"]
    return [*argv, "--", parts.hostname or ""]


def asked(uri: str) -> CloudError | None:
    """What ``failure_of`` makes of a login of our own in libvirt's place; None if it succeeds or takes too long."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [*ssh_arguments(uri), "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=2 * CONNECT_TIMEOUT_S,
            check=False,
        )
        return failure_of(" ".join(done.stderr.split())) if done.returncode else None
    return None


def failure_of(text: str) -> CloudError | None:
    """What ``ssh`` or an SSH library of libvirt's said, where it tells more than that there is no connection."""
    upper = text.upper()
    if "IDENTIFICATION HAS CHANGED" in upper or ("IDENTITY OF HOST" in upper and "DIFFERS" in upper):
        return HostKeyChanged(
            "libvirt's host presents another host key than known_hosts has",
            driver="libvirt",
            fault=text,
            hint="Do not log in. If the host was really reinstalled, take its old key out of known_hosts.",
        )
    if "HOST KEY VERIFICATION FAILED" in upper:
        return HostKeyUnknown(
            "libvirt's host is not in known_hosts",
            driver="libvirt",
            fault=text,
            hint="Log in once with ssh, and compare the fingerprint; or name a file by known_hosts= in the URI.",
        )
    if "PERMISSION DENIED (" in upper:
        return Unauthenticated(
            "libvirt's host refused the login",
            driver="libvirt",
            fault=text,
            hint="Check user and keyfile= in the URI. A key with a passphrase must be in the agent: ssh-add.",
        )
    return None
