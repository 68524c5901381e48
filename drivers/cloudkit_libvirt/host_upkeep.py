"""``cloudkit host`` on libvirt: hooks that bring the host's network back."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from cloudkit.driver import Driver, OpenRequest
from cloudkit.errors import ConfigError, PermissionDenied, Unavailable, Unsupported
from cloudkit_libvirt.driver import open_driver
from cloudkit_libvirt.hostnet.installation import Installation
from cloudkit_libvirt.uri import is_session

START_S = 300.0
"""How long libvirt may take until it answers: it starts all networks and servers before."""
_POLL_S = 0.5
_FOLDERS_OF_HOOKS = 6005000
"""The version that runs the scripts in ``network.d`` and the like (libvirt.org/hooks.html): 6.5.0."""


class LibvirtHost:
    """The machine that libvirt runs on, which is this one."""

    def __init__(self, request: OpenRequest, installation: Installation | None = None) -> None:
        """Nothing happens yet."""
        self._request = request
        self._installation = installation or Installation()

    def install(self, command: Sequence[str]) -> Sequence[str]:
        """Write the hooks, and what they restore."""
        self._require_own_host()
        _require_root()
        if not Path("/proc/sys/net/bridge").exists():
            # Not there after it: then the kernel has none, which opening the cloud tells.
            subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)
        was_there = self._installation.folder.exists()
        try:
            # First the folder, then what is in it, by opening the cloud.
            self._installation.install(command)
            self._open_and_close()
        except BaseException:
            if not was_there:
                self._installation.uninstall()
            raise
        return [
            *(f"written: {path}" for path in self._installation.files),
            f"kept from now on: what the hooks restore, in {self._installation.folder}",
            "To do once: `systemctl reload libvirtd` (or virtnetworkd and virtqemud), as libvirt looks for new hooks "
            "only then.",
        ]

    def uninstall(self) -> Sequence[str]:
        """Remove the hooks; the network stays as it is."""
        _require_root()
        return [f"removed: {path}" for path in self._installation.uninstall()]

    def reconcile(self) -> None:
        """Open the cloud, which does it; libvirt may still be starting."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                self._open().close()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def _open(self) -> Driver:
        if self._request.options["host_network"] == "off":
            raise ConfigError(
                "the host's network is left alone, as host_network=off is set",
                driver="libvirt",
                hint="Set host_network to auto.",
            )
        return open_driver(replace(self._request, options={**self._request.options, "host_network": "on"}))

    def _open_and_close(self) -> None:
        driver = self._open()
        try:
            version = driver.native.getLibVersion()
        finally:
            driver.close()
        if version < _FOLDERS_OF_HOOKS:
            raise Unsupported("libvirt 6.5 or newer is needed for hooks beside those of others", driver="libvirt")

    def _require_own_host(self) -> None:
        uri = self._request.options.get("uri") or self._request.address
        if urlsplit(uri).hostname is not None:
            raise Unsupported(
                "hooks are written on libvirt's own host only",
                driver="libvirt",
                hint="Run it there: `sudo cloudkit host install --cloud libvirt+qemu:///system`.",
            )
        if is_session(uri):
            raise Unsupported("an ordinary user's libvirt has no networks that need it", driver="libvirt")


def _require_root() -> None:
    if os.geteuid() != 0:
        raise PermissionDenied(
            "only root may write libvirt's hooks",
            driver="libvirt",
            hint="Run it with sudo, naming the program by its whole path where sudo does not find it.",
        )
