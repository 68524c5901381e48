"""libvirt and what it needs: the Python binding, the daemons' sockets, QEMU, dnsmasq, the packet filter."""

from __future__ import annotations

import errno
import importlib
import os
from typing import Any

from cloudkit.host.report import LIBVIRT, Check, Detail, Level, Need
from cloudkit.host.tree import Tree

_RUN = ("run/libvirt", "var/run/libvirt")
_MONOLITHIC = "libvirt-sock"
_MODULAR = ("virtqemud", "virtnetworkd", "virtstoraged")
_EMULATORS = {
    "i686": "i386",
    "i386": "i386",
    "ppc64le": "ppc64",
    "armv7l": "arm",
    "armv6l": "arm",
}
"""The kernel's name of an architecture → QEMU's, where they differ."""
_INSTALL = "Debian: `sudo apt install libvirt-daemon-system`. Fedora: `sudo dnf install libvirt`."


def python_binding(_tree: Tree) -> Check:
    """``libvirt.python``: libvirt-python, in this Python."""
    name = "libvirt.python"
    try:
        binding: Any = importlib.import_module("libvirt")
        library = _version(int(binding.getVersion()))
    except Exception as error:
        # Not only ImportError: another distribution of that name may be there, or one built for another library.
        return Check(
            name=name,
            level=Level.FAIL,
            summary=f"this Python cannot load libvirt: {error}",
            details={"version": None},
            hint="pip install 'cloudkit-sdk[libvirt]'; it is built here, from libvirt's headers: Debian `libvirt-dev "
            "pkg-config gcc python3-dev`, Fedora `libvirt-devel pkgconf gcc python3-devel`.",
            needed_by=LIBVIRT,
        )
    return Check(
        name=name,
        level=Level.OK,
        summary=f"libvirt's library {library} answers in this Python",
        details={"version": library},
        needed_by=LIBVIRT,
    )


def sockets(tree: Tree) -> Check:
    """``libvirt.daemon``: the sockets of the system's daemons, monolithic or modular, and the right to use them."""
    name = "libvirt.daemon"
    folder = next((folder for folder in _RUN if tree.exists(folder)), _RUN[0])
    problems = {
        unit: tree.connect_problem(f"{folder}/{socket}")
        for unit, socket in {"libvirtd": _MONOLITHIC, **{unit: f"{unit}-sock" for unit in _MODULAR}}.items()
    }
    answering = [unit for unit, problem in problems.items() if problem is None]
    details: dict[str, Detail] = {"answering": answering, "folder": f"/{folder}"}

    def failed(summary: str, hint: str) -> Check:
        return Check(
            name=name,
            level=Level.FAIL,
            summary=summary,
            details=details,
            hint=hint,
            needed_by=(Need.LIBVIRT_SOCKET,),
        )

    if all(unit in answering for unit in _MODULAR) or "libvirtd" in answering:
        form = "modular daemons" if all(unit in answering for unit in _MODULAR) else "libvirtd"
        return Check(
            name=name,
            level=Level.OK,
            summary=f"libvirt's {form} can be reached",
            details=details,
            needed_by=(Need.LIBVIRT_SOCKET,),
        )
    denied = [unit for unit, problem in problems.items() if problem in (errno.EACCES, errno.EPERM)]
    if denied:
        return failed(
            f"this user may not use the socket of {denied[0]}",
            "`sudo usermod -aG libvirt $USER`, then log in again. Without that right: libvirt+qemu:///session.",
        )
    if "virtqemud" in answering:
        missing = [unit for unit in _MODULAR if unit not in answering]
        started = " ".join(f"{unit}.socket" for unit in missing)
        return failed(
            f"virtqemud answers, and {', '.join(missing)} do not", f"`sudo systemctl enable --now {started}`"
        )
    silent = [unit for unit, problem in problems.items() if problem != errno.ENOENT]
    if silent:
        words = os.strerror(problems[silent[0]] or errno.ETIMEDOUT)
        return failed(
            f"the socket of {silent[0]} is there, and nobody answers: {words}", _start_hint(tree, silent[0])
        )
    if unit := _installed(tree):
        return failed(f"{unit} is installed and does not run", _start_hint(tree, unit))
    return failed("libvirt's daemon is not installed", _INSTALL)


def session(tree: Tree) -> Check:
    """``libvirt.session``: whether an ordinary user's own libvirt can be started; libvirt does so by itself."""
    unit = _installed(tree)
    return Check(
        name="libvirt.session",
        level=Level.OK if unit else Level.FAIL,
        summary=f"libvirt starts {unit} for a user who asks for qemu:///session"
        if unit
        else "libvirt's daemon is not installed",
        details={"daemon": unit},
        hint="" if unit else _INSTALL,
        needed_by=(Need.LIBVIRT_SESSION,),
    )


def emulator(tree: Tree) -> Check:
    """``libvirt.qemu``: the emulator for this processor, and qemu-img."""
    arch = tree.arch
    own = f"qemu-system-{_EMULATORS.get(arch, arch)}"
    qemu = tree.program(own, "qemu-kvm", "kvm")
    tool = tree.program("qemu-img")
    details: dict[str, Detail] = {"emulator": qemu, "qemu_img": tool}
    missing = [what for what, path in ((own, qemu), ("qemu-img", tool)) if path is None]
    if missing:
        package = "qemu-system-x86" if own.endswith(("x86_64", "i386")) else "qemu-system"
        return Check(
            name="libvirt.qemu",
            level=Level.FAIL,
            summary=f"not installed: {', '.join(missing)}",
            details=details,
            hint=f"Debian: `sudo apt install {package} qemu-utils`. Fedora: `sudo dnf install qemu-kvm qemu-img`.",
            needed_by=LIBVIRT,
        )
    text = f"{qemu} and {tool} are installed"
    return Check(name="libvirt.qemu", level=Level.OK, summary=text, details=details, needed_by=LIBVIRT)


def network_tools(tree: Tree) -> Check:
    """``libvirt.network``: what libvirt makes networks with."""
    dnsmasq = tree.program("dnsmasq")
    packet_filter = tree.program("nft", "iptables")
    details: dict[str, Detail] = {"dnsmasq": dnsmasq, "packet_filter": packet_filter}
    missing = [what for what, path in (("dnsmasq", dnsmasq), ("nft or iptables", packet_filter)) if path is None]
    if missing:
        return Check(
            name="libvirt.network",
            level=Level.FAIL,
            summary=f"libvirt cannot make networks without {' and '.join(missing)}",
            details=details,
            hint="Debian: `sudo apt install dnsmasq-base iptables`. Fedora: `sudo dnf install dnsmasq nftables`.",
            needed_by=(Need.LIBVIRT_SYSTEM,),
        )
    return Check(
        name="libvirt.network",
        level=Level.OK,
        summary=f"networks are made with {dnsmasq} and {packet_filter}",
        details=details,
        needed_by=(Need.LIBVIRT_SYSTEM,),
    )


def _installed(tree: Tree) -> str | None:
    return next((unit for unit in ("virtqemud", "libvirtd") if tree.program(unit)), None)


def _start_hint(tree: Tree, unit: str) -> str:
    if not tree.exists("run/systemd/system"):
        return f"Nothing starts services here (no systemd): `sudo {unit} --daemon`."
    return f"`sudo systemctl enable --now {unit}.socket`" if unit != "libvirtd" else "`sudo systemctl start libvirtd`"


def _version(number: int) -> str:
    """A version is a million times the major number and so on."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
