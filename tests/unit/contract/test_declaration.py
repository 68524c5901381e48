"""The contract itself: what ``check_declaration`` accepts, and that its tables fit the protocols and specs."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from types import SimpleNamespace
from typing import Any

import pytest

from cloudkit import types
from cloudkit.driver import (
    CAPABILITIES,
    DRIVER_API,
    EVERYTHING,
    GROUPS,
    OPTIONS,
    OpenRequest,
    Query,
    check_declaration,
)
from cloudkit.errors import CloudError
from cloudkit.types import Kind, Spec

SPECS = {spec.__name__: spec for spec in Spec.__subclasses__()}


def method() -> None:
    """Stands for any method; the check never calls it."""


def toy(*groups: str, declares: set[str] | None = None, **changes: Any) -> Any:
    """A driver with the methods of ``groups``, that declares them or what it is told to."""
    parts = SimpleNamespace(
        compute=SimpleNamespace(servers=SimpleNamespace()),
        image=SimpleNamespace(images=SimpleNamespace()),
        network=SimpleNamespace(networks=SimpleNamespace(), subnets=SimpleNamespace(), ports=SimpleNamespace()),
        volume=SimpleNamespace(volumes=SimpleNamespace()),
    )
    capabilities = frozenset(groups if declares is None else declares)
    driver = SimpleNamespace(name="toy", api=DRIVER_API, capabilities=capabilities, **vars(parts))
    for name in groups:
        owner = driver
        for part in filter(None, GROUPS[name].path.split(".")):
            if not hasattr(owner, part):
                setattr(owner, part, SimpleNamespace())
            owner = getattr(owner, part)
        for each in GROUPS[name].methods:
            setattr(owner, each, method)
    vars(driver).update(changes)
    return driver


def refused(driver: Any) -> CloudError:
    with pytest.raises(CloudError) as caught:
        check_declaration(driver)
    return caught.value


# ---------------------------------------------------------------- check_declaration


def test_a_driver_without_groups_is_accepted() -> None:
    driver = toy()
    check_declaration(driver)
    assert driver.capabilities == frozenset()


@pytest.mark.parametrize("group", GROUPS)
def test_a_driver_that_has_and_declares_a_group_is_accepted(group: str) -> None:
    check_declaration(toy(group))


def test_a_driver_with_all_groups_and_options_is_accepted() -> None:
    check_declaration(toy(*GROUPS, declares=set(CAPABILITIES)))


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_is_declared_but_not_there_is_refused_with_its_methods(group: str) -> None:
    error = refused(toy(declares={group}))
    assert f"it declares {group!r} but lacks {', '.join(GROUPS[group].methods)}" in error.message


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_is_there_but_not_declared_is_refused(group: str) -> None:
    error = refused(toy(group, declares=set()))
    assert f"it has the methods of {group!r} but does not declare it" in error.message


def test_a_group_of_which_one_method_is_missing_is_refused_with_that_one() -> None:
    driver = toy("servers.resize")
    del driver.compute.servers.confirm_resize
    assert refused(driver).message.endswith(": it declares 'servers.resize' but lacks confirm_resize")


def test_a_part_of_a_group_that_is_not_declared_is_nobodys_business() -> None:
    driver = toy("servers.resize", declares=set())
    del driver.compute.servers.confirm_resize
    assert not hasattr(driver.compute.servers, "confirm_resize")
    check_declaration(driver)


def test_an_attribute_that_cannot_be_called_is_no_method() -> None:
    driver = toy("servers.console_log")
    driver.compute.servers.console_log = "text"
    assert "lacks console_log" in refused(driver).message


def test_a_group_of_a_service_that_is_not_there_is_lacking_not_a_crash() -> None:
    assert "lacks limits" in refused(toy(declares={"limits"}, network=None)).message
    assert "it declares 'routers' but lacks" in refused(toy(declares={"routers"}, network=None)).message


def test_names_that_are_no_capability_are_refused_in_order() -> None:
    error = refused(toy(declares={"zeppelins", "servers.fly"}))
    assert error.message == (
        "the driver 'toy' contradicts itself: it declares 'servers.fly', which is no capability; "
        "it declares 'zeppelins', which is no capability"
    )


@pytest.mark.parametrize("api", [DRIVER_API - 1, DRIVER_API + 1])
def test_another_api_is_refused(api: int) -> None:
    message = f"it was written for driver API {api}, this cloudkit speaks {DRIVER_API}"
    assert refused(toy(api=api)).message == f"the driver 'toy' contradicts itself: {message}"


def test_all_contradictions_are_told_at_once_and_whose_they_are() -> None:
    error = refused(toy("limits", declares={"servers.fly", "snapshots"}, api=9))
    assert error.message.count(";") == 3
    assert error.driver == "toy"
    assert error.hint == "This is a defect of the driver: report it to its authors."


# ---------------------------------------------------------------- the tables


def test_no_two_groups_share_a_method() -> None:
    places = [(each.path, name) for each in GROUPS.values() for name in each.methods]
    assert len(places) == len(set(places))


@pytest.mark.parametrize(
    ("group", "methods"),
    [
        ("servers.console_log", {"console_log"}),
        ("servers.resize", {"resize", "confirm_resize", "revert_resize"}),
        ("networks.create", {"create", "delete"}),
        ("routers", {"list", "get", "create", "delete", "add_interface", "remove_interface", "set_gateway"}),
        ("snapshots", {"list", "get", "create", "delete"}),
        ("limits", {"limits"}),
    ],
)
def test_a_groups_methods_are_its_protocols_and_those_that_it_inherits(group: str, methods: set[str]) -> None:
    assert set(GROUPS[group].methods) == methods
    assert len(GROUPS[group].methods) == len(methods)


def test_every_group_has_methods_and_a_name_that_says_where() -> None:
    kinds = {kind.value for kind in Kind}
    for name, group in GROUPS.items():
        assert group.methods
        kind = name.partition(".")[0]
        assert group.path.rpartition(".")[2] == (kind if kind in kinds else "")


def test_every_option_is_a_field_of_a_create_request() -> None:
    for option in OPTIONS - {"all_projects"}:
        group, _, field = option.partition(":")
        kind, _, verb = group.partition(".")
        noun = Kind(kind).name.title().replace("_", "")
        assert verb == "create"
        assert field in {item.name for item in fields(SPECS[f"{noun}Spec"])}, option


def test_capabilities_are_the_groups_and_the_options() -> None:
    assert set(GROUPS) | OPTIONS == CAPABILITIES
    assert not set(GROUPS) & OPTIONS


def test_every_spec_is_for_a_kind() -> None:
    kinds = {kind.name.title().replace("_", "") for kind in Kind}
    assert {name.removesuffix("Spec") for name in SPECS} == kinds
    assert all(getattr(types, name) is spec for name, spec in SPECS.items())


# ---------------------------------------------------------------- data that drivers are opened with


def test_everything_is_a_query_without_conditions() -> None:
    assert Query(filters={}, all_projects=False) == EVERYTHING


def test_what_a_driver_is_opened_with_cannot_be_changed_by_it() -> None:
    request: Any = OpenRequest(address="", options={}, project_id=None, profile="lab")
    for name in ("address", "options", "project_id", "profile"):
        with pytest.raises(FrozenInstanceError):
            setattr(request, name, "x")
