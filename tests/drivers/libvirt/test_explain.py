"""Errors name the check that explains them; the texts are libvirt's and QEMU's own."""

from __future__ import annotations

import pytest

from cloudkit.errors import CloudError, NotFound, QuotaExceeded
from cloudkit.host import Check, Level
from cloudkit.host.checks import CHECKS
from cloudkit_libvirt import explain
from cloudkit_libvirt.explain import check_of, explained

STARTED = "internal error: process exited while connecting to monitor: "
CLOSED = "internal error: qemu unexpectedly closed the monitor: 2026-11-25T23:38:51.527647Z qemu-system-x86_64: "

TEXTS = {
    f"{STARTED}Could not access KVM kernel module: No such file or directory\n"
    "qemu-system-x86_64: failed to initialize kvm: No such file or directory": "kvm",
    f"{STARTED}Could not access KVM kernel module: Permission denied": "kvm",
    f"{CLOSED}error: failed to set MSR 0x10a to 0x69\nqemu-system-x86_64: ../../target/i386/kvm/kvm.c:3183: "
    "kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed.": "kvm",
    "invalid argument: could not get preferred machine for /usr/bin/qemu-system-x86_64 type=kvm": "kvm",
    "unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not support virt type 'kvm'": "kvm",
    "invalid argument: could not find capabilities for arch=x86_64 domaintype=kvm ": "kvm",
    "invalid argument: could not find capabilities for arch=x86_64": "libvirt.qemu",
    "unsupported configuration: No emulator found for arch 'aarch64'": "libvirt.qemu",
    "Cannot check QEMU binary /usr/bin/qemu-nothing: No such file or directory": "libvirt.qemu",
    "Cannot find 'qemu-img' in path: No such file or directory": "libvirt.qemu",
    "Unable to open /dev/net/tun, is tun module loaded?: No such file or directory": "tun",
    "Cannot find 'dnsmasq' in path: No such file or directory": "libvirt.network",
    f"{CLOSED}cannot set up guest memory 'pc.ram': Cannot allocate memory": "memory",
    "cannot write to file '/pool/ck-1.disk': No space left on device": "disk",
    "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory": "libvirt.daemon",
    "Failed to connect socket to '/var/run/libvirt/virtqemud-sock': Permission denied": "libvirt.daemon",
    "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'": (
        "libvirt.daemon"
    ),
}
KVM_TEXT = next(iter(TEXTS))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Level]:
    """What the checks come out as."""
    levels: dict[str, Level] = {}

    def examine(name: str) -> Check:
        level = levels.get(name, Level.OK)
        return Check(name=name, level=level, summary="there is no /dev/kvm", hint="`sudo modprobe kvm`.")

    monkeypatch.setattr(explain.host, "examine", examine)
    return levels


@pytest.mark.parametrize("text", TEXTS)
def test_the_check(text: str) -> None:
    assert check_of(text) == TEXTS[text]
    assert TEXTS[text] in CHECKS


@pytest.mark.parametrize(
    "text", ["", "Domain not found", "internal error: Network is already in use by interface eth0", "kvm"]
)
def test_no_check_explains(text: str) -> None:
    assert check_of(text) is None
    error = explained(CloudError("x", fault=text, hint="Do this."), local=True)
    assert error.hint == "Do this."


def test_a_check_that_fails_is_quoted(found: dict[str, Level]) -> None:
    found["kvm"] = Level.FAIL
    error = explained(CloudError("QEMU ended", fault=KVM_TEXT, hint="Its words tell why."), local=True)
    assert error.hint == (
        "Its words tell why. `cloudkit doctor`, check kvm: there is no /dev/kvm. `sudo modprobe kvm`."
    )
    assert explained(error, local=True).hint.count("cloudkit doctor") == 1


@pytest.mark.usefixtures("found")
def test_a_check_that_holds_is_only_named() -> None:
    error = explained(QuotaExceeded("no memory", fault="Cannot allocate memory", hint=""), local=True)
    assert error.hint == "`cloudkit doctor` tells more: check memory."


def test_another_host_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain.host, "examine", None)
    error = explained(CloudError("QEMU ended", fault=KVM_TEXT), local=False)
    assert error.hint == "On the libvirt host, `cloudkit doctor` tells more: check kvm."


def test_an_error_without_the_back_ends_words_stays() -> None:
    error = NotFound("there is no such thing")
    assert explained(error, local=True).hint == NotFound.default_hint
