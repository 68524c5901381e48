"""Copies of what a guest is writing to, where the guest ends in between."""

from __future__ import annotations

from unittest.mock import Mock

import libvirt
import pytest

from cloudkit_libvirt.live_copy import push
from cloudkit_libvirt.xml_tree import parse


def refusal(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("refused")
    error.err = (code, libvirt.VIR_FROM_QEMU, "refused", 2, None, None, None, -1, -1)
    return error


def test_of_a_guest_that_has_ended_nothing_is_left_to_take_back() -> None:
    off = refusal(libvirt.VIR_ERR_OPERATION_INVALID)
    domain = Mock()
    domain.info.return_value = [libvirt.VIR_DOMAIN_SHUTOFF]
    domain.backupGetXMLDesc.side_effect = [refusal(libvirt.VIR_ERR_NO_DOMAIN_BACKUP), off]
    domain.backupBegin.side_effect = off
    context = Mock(live_copies={})
    context.domains.tree.return_value = parse("<domain/>")
    context.domains.again.return_value = domain
    with pytest.raises(libvirt.libvirtError) as raised:
        push(context, domain, "vda", "/pool/copy")
    assert raised.value is off
    assert not hasattr(off, "__notes__")
    domain.abortJob.assert_not_called()
