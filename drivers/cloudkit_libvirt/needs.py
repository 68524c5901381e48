"""What the machine must have that connects to a libvirt; told without loading libvirt."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from cloudkit.driver import OpenRequest
from cloudkit.host import Need


def host_needs(request: OpenRequest) -> frozenset[Need]:
    """Nothing where libvirt's host is another one, or simulated."""
    uri = urlsplit(request.options.get("uri") or request.address)
    if uri.hostname is not None or not uri.scheme.startswith("qemu"):
        return frozenset()
    needs = {Need.KVM} if request.options["virt_type"] == "kvm" else set[Need]()
    if request.options["host_network"] == "on":
        needs.add(Need.HOST_NETWORK)
    if uri.path == "/session":
        return frozenset(needs | {Need.LIBVIRT_SESSION})
    if "socket" not in parse_qs(uri.query):
        needs.add(Need.LIBVIRT_SOCKET)
    return frozenset(needs | {Need.LIBVIRT_SYSTEM})
