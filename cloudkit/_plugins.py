"""Drivers by the entry points ``cloudkit.drivers``: found by name, checked, opened.

Only the driver that is asked for is looked up and imported. What was found is kept for the life of the process,
as reading the entry points of all installed distributions takes milliseconds.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

from cloudkit._suggest import suggest
from cloudkit.driver import DRIVER_API, Driver, DriverPlugin, OpenRequest, check_declaration
from cloudkit.errors import CloudError, ConfigError, MissingExtra

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "cloudkit.drivers"

_OWN_EXTRAS = {"fake": "", "libvirt": "libvirt", "openstack": "openstack"}
"""Our own drivers and their extras, for a hint where even the entry point is missing."""

_checked: set[tuple[type[Any], frozenset[str]]] = set()


def known_drivers() -> list[str]:
    """The names of all installed drivers."""
    from importlib.metadata import entry_points

    return sorted({entry.name for entry in entry_points(group=GROUP)})


@cache
def load_plugin(name: str) -> DriverPlugin:
    """The plug-in of the driver ``name``, without its dependencies.

    Raises:
        ConfigError: no such driver is installed, two distributions offer one under this name, or its plug-in
            cannot be imported.
        MissingExtra: it is one of cloudkit's own, and not part of this installation.
    """
    entry = _entry_point(name)
    try:
        plugin = entry.load()
    except Exception as error:
        raise ConfigError(
            f"the driver {name!r} cannot be loaded from {entry.value!r}",
            driver=name,
            fault=f"{type(error).__name__}: {error}",
            hint="Install the distribution that offers it anew, or remove it.",
        ) from error
    if not isinstance(plugin, DriverPlugin):
        raise ConfigError(
            f"the entry point {name!r} names {entry.value!r}, which is no DriverPlugin",
            driver=name,
            hint="This is a defect of the driver: report it to its authors.",
        )
    return plugin


def open_driver(plugin: DriverPlugin, request: OpenRequest) -> Driver:
    """Open a driver whose declaration holds.

    Raises:
        MissingExtra: a module that it needs cannot be imported.
        ConfigError: it was written for another driver API.
        CloudError: it could not be opened, or its declaration and its methods contradict each other.
    """
    if plugin.api != DRIVER_API:
        raise ConfigError(
            f"it was written for driver API {plugin.api}, this cloudkit speaks {DRIVER_API}",
            driver=plugin.name,
            hint=f"Upgrade {'cloudkit-sdk' if plugin.api > DRIVER_API else 'the driver'}.",
        )
    if missing := missing_extra(plugin):
        raise missing from missing.__cause__
    try:
        driver = plugin.open(request)
    except CloudError as error:
        error.add_context(driver=plugin.name)
        raise
    except Exception as error:
        # There is no driver yet whose translate could be asked.
        raise CloudError(
            f"the cloud {request.profile!r} could not be opened",
            driver=plugin.name,
            fault=f"{type(error).__name__}: {error}",
        ) from error
    _check(driver)
    return driver


def _entry_point(name: str) -> EntryPoint:
    from importlib.metadata import entry_points

    # An editable install beside the wheel offers the same twice, which is no contradiction.
    offers = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if len(offers) > 1:
        raise ConfigError(
            f"several distributions offer a driver {name!r}: {', '.join(sorted(offers))}",
            hint="Uninstall all but one of them.",
        )
    if offers:
        return next(iter(offers.values()))
    if name in _OWN_EXTRAS:
        raise MissingExtra(
            f"the driver {name!r} is not part of this installation", driver=name, hint=_install(_OWN_EXTRAS[name])
        )
    raise ConfigError(f"there is no driver {name!r}", hint=suggest(name, known_drivers()))


def missing_extra(plugin: DriverPlugin) -> MissingExtra | None:
    """The error for the first module that a driver needs and that cannot be imported."""
    for module in plugin.requires:
        try:
            importlib.import_module(module)
        except ImportError as error:
            # Also raised by a module that is there, but lacks its shared library: the text tells which it is.
            missing = MissingExtra(
                f"it needs the Python module {module!r}, which cannot be imported",
                driver=plugin.name,
                fault=str(error),
                hint=_install(plugin.extra) if plugin.extra else "Install what the driver's distribution names.",
            )
            missing.__cause__ = error
            return missing
    return None


def _install(extra: str) -> str:
    return f"Run: pip install 'cloudkit-sdk[{extra}]'" if extra else "Run: pip install --force-reinstall cloudkit-sdk"


def _check(driver: Driver) -> None:
    key = (type(driver), driver.capabilities)
    if key in _checked:
        return
    try:
        check_declaration(driver)
    except BaseException:
        driver.close()
        raise
    _checked.add(key)
