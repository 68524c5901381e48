"""A network that is started anew, while the old dnsmasq of it still ends."""

from __future__ import annotations

import libvirt
import pytest

from cloudkit_libvirt import network_start
from cloudkit_libvirt.network_start import restart


def refused(code: int, message: str) -> libvirt.libvirtError:
    error = libvirt.libvirtError(message)
    error.err = (code, libvirt.VIR_FROM_NETWORK, message, libvirt.VIR_ERR_ERROR, "", "", "", -1, -1)
    return error


class Network:
    """One that fails to start so often, with an error."""

    def __init__(self, error: libvirt.libvirtError, failures: int) -> None:
        self.error, self.failures, self.active = error, failures, True

    def isActive(self) -> bool:
        return self.active

    def destroy(self) -> None:
        self.active = False

    def create(self) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        self.active = True


def test_the_old_dnsmasq_is_waited_for() -> None:
    text = "dnsmasq: failed to create listening socket for 10.1.0.1: Address already in use"
    network = Network(refused(libvirt.VIR_ERR_INTERNAL_ERROR, text), 2)
    restart(network)
    assert network.active


def test_another_client_may_have_started_it() -> None:
    restart(Network(refused(libvirt.VIR_ERR_OPERATION_INVALID, "network is already active"), 1))


def test_what_else_goes_wrong_is_told() -> None:
    with pytest.raises(libvirt.libvirtError, match="no such bridge"):
        restart(Network(refused(libvirt.VIR_ERR_INTERNAL_ERROR, "no such bridge"), 1))


def test_a_dnsmasq_that_libvirt_has_forgotten_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_start, "_ENDING_S", 0.0)
    text = "dnsmasq: failed to create listening socket for 10.1.0.1: Address already in use"
    network = Network(refused(libvirt.VIR_ERR_INTERNAL_ERROR, text), 10**9)

    def end() -> None:
        network.failures = 0

    restart(network, end)
    assert network.active
