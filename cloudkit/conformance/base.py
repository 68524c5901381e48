"""What every test class of the suite stands on."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import pytest

from cloudkit import Cloud, Kind
from cloudkit.conformance.lab import Lab

needs = pytest.mark.capability
"""Run only where all of these capabilities are declared, and count for each of them."""

_NEEDS: dict[Kind, tuple[str, ...]] = {
    Kind.SERVER_GROUP: ("server_groups",),
    Kind.IMAGE: ("images.create",),
    Kind.NETWORK: ("networks.create",),
    Kind.SUBNET: ("networks.create", "subnets.create"),
    Kind.PORT: ("networks.create", "subnets.create", "ports.create"),
    Kind.ROUTER: ("routers",),
    Kind.FLOATING_IP: ("floating_ips",),
    Kind.SECURITY_GROUP: ("security_groups",),
    Kind.SNAPSHOT: ("snapshots",),
    Kind.BACKUP: ("backups",),
}

ONE_NAMED_ONCE = (Kind.FLAVOR, Kind.KEY_PAIR)
"""Kinds whose names are unique."""

NAMED_BY_THE_CLOUD = (Kind.FLOATING_IP,)


def each_kind(*kinds: Kind, but: tuple[Kind, ...] = ()) -> pytest.MarkDecorator:
    """Run a test for each of these kinds (all, if none is named) that the back-end has."""
    chosen = [kind for kind in kinds or tuple(Kind) if kind not in but]
    return pytest.mark.parametrize(
        "kind", [pytest.param(kind, marks=needs(*_NEEDS.get(kind, ())), id=kind.value) for kind in chosen]
    )


def collection(cloud: Cloud, kind: Kind) -> Any:
    """The collection of a kind."""
    return getattr(cloud, kind.value)


def skip_undeclared(lab: Lab, *capabilities: str) -> None:
    """For fixtures of a wider scope, which are made before a test's own marker is looked at."""
    for name in capabilities:
        if not lab.cloud.supports(name):
            pytest.skip(f"{name} is not declared")


class Conformance:
    """Fixtures as methods, so that no conftest.py of a driver's author can shadow them."""

    @pytest.fixture(autouse=True)
    def _is_declared(self, request: pytest.FixtureRequest, conformance_lab: Lab) -> None:
        test = cast(pytest.Item, request.node)  # pyright: ignore[reportUnknownMemberType]
        for marker in test.iter_markers("capability"):
            skip_undeclared(conformance_lab, *marker.args)

    @pytest.fixture
    def lab(self, conformance_lab: Lab) -> Lab:
        """What all tests share."""
        return conformance_lab

    @pytest.fixture
    def cloud(self, conformance_lab: Lab) -> Generator[Cloud]:
        """The target; all that is created through it is deleted when the test ends, or the test fails."""
        with conformance_lab.cloud.scope("conformance") as cloud:
            yield cloud

    @pytest.fixture
    def other(self, conformance_lab: Lab) -> Generator[Cloud]:
        """The same in another project."""
        with conformance_lab.other.scope("conformance") as cloud:
            yield cloud
