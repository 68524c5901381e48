"""The option ``read_only``: all can be looked at, nothing can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from specs import flavor_spec, make_network, make_server, open_test_driver

from cloudkit.config import resolve
from cloudkit.driver import EVERYTHING, GROUPS, Collection, Servers, check_declaration
from cloudkit.errors import ConfigError, PermissionDenied
from cloudkit.types import Nic
from cloudkit_libvirt.blobs import MemoryBlobs
from cloudkit_libvirt.driver import LibvirtDriver
from cloudkit_libvirt.read_only import READING, ReadOnlyBlobs

SERVICES = {
    "compute": ("servers", "flavors", "key_pairs"),
    "image": ("images",),
    "network": ("networks", "subnets", "ports"),
    "volume": ("volumes", "snapshots"),
}


@pytest.fixture
def reader(driver: Any) -> LibvirtDriver:
    """Another view of ``driver``'s cloud."""
    return LibvirtDriver(replace(driver._context, read_only=True), "default")


def verbs(driver: Any) -> Iterator[tuple[str, str]]:
    """Path of a collection and name of a method, for all that the contract knows and the driver has."""
    for service, names in SERVICES.items():
        for name in names:
            for verb in ("list", "get", "create", "delete"):
                if hasattr(getattr(getattr(driver, service), name), verb):
                    yield f"{service}.{name}", verb
    for verb in ("start", "stop", "reboot"):
        yield "compute.servers", verb
    for capability, group in GROUPS.items():
        if capability in driver.capabilities and group.path:
            for verb in group.methods:
                yield group.path, verb


def test_it_declares_what_the_other_does(driver: Any, reader: Any) -> None:
    check_declaration(reader)
    assert reader.capabilities == driver.capabilities


def test_every_verb_either_reads_or_is_refused_before_anything_happens(driver: Any, reader: Any, left: Any) -> None:
    refused = set[str]()
    before = left()
    for path, verb in set(verbs(driver)):
        service, collection = path.split(".")
        method = getattr(getattr(getattr(reader, service), collection), verb)
        if verb in READING:
            continue
        with pytest.raises(PermissionDenied, match=f"{collection}.{verb} would change .* read_only=true"):
            method("some id")
        refused.add(f"{collection}.{verb}")
    assert left() == before
    assert {"servers.create", "servers.start", "volumes.delete", "servers.pause", "networks.create"} <= refused
    assert len(refused) >= 25


def test_all_is_seen(driver: Any, reader: Any) -> None:
    network, _ = make_network(driver)
    server = make_server(driver, Nic(network_id=network.id))
    assert list(reader.compute.servers.list(EVERYTHING)) == [server]
    assert reader.compute.servers.get(server.id) == server
    assert list(reader.network.ports.list(EVERYTHING)) == list(driver.network.ports.list(EVERYTHING))
    assert reader.limits() == driver.limits()
    assert next(iter(reader.for_project("another").network.networks.list(EVERYTHING)), None) is None


def test_records_are_neither_written_nor_cleared_away() -> None:
    inner = MemoryBlobs()
    inner.create("there", b"1")
    blobs = ReadOnlyBlobs(inner)
    with pytest.raises(PermissionDenied):
        blobs.create("new", b"2")
    assert not blobs.delete("there")
    assert (blobs.names(), blobs.read("there"), blobs.age_s("there") >= 0) == (["there"], b"1", True)


def test_the_pool_is_not_made_for_looking() -> None:
    with pytest.raises(PermissionDenied, match="making the pool 'no-such-pool'"):
        open_test_driver(pool="no-such-pool", read_only=True)


def test_a_service_that_can_be_written_to_is_not_wrapped(driver: Any) -> None:
    assert driver.compute.flavors.create(flavor_spec()).name == "m1.tiny"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_the_option_in_a_url(text: str, value: bool) -> None:
    profile = resolve(f"libvirt+qemu:///system?read_only={text}")
    assert profile.request.options["read_only"] is value
    assert profile.request.address == "qemu:///system"


@pytest.mark.parametrize("text", ["yes", "1", "", "True"])
def test_no_other_word_will_do(text: str) -> None:
    with pytest.raises(ConfigError, match="true or false"):
        resolve(f"libvirt+qemu:///system?read_only={text}")


def test_the_contract_has_no_verb_that_only_seems_to_read() -> None:
    assert {name for name in vars(Collection) | vars(Servers) if name in READING} <= {"get", "list"}
