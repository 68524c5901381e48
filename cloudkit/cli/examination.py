"""What ``cloudkit doctor`` looks at: the machine, as far as the cloud needs it, and the cloud itself."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from cloudkit import connect
from cloudkit._plugins import missing_extra
from cloudkit.config import Profile, configured_cloud, resolve
from cloudkit.errors import CloudError
from cloudkit.host import Check, Level, Need, inspect

SCHEMA = 1
"""The version of what ``--json`` prints; it grows when something is taken away or changes its meaning."""

THIS_MACHINE = "libvirt+qemu:///system"
_SSH_MODULE = "paramiko"


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found.

    Attributes:
        name: what it is about, for people.
        cloud: the profile's name, or the URL without its query.
    """

    name: str
    cloud: str
    driver: str
    checks: tuple[Check, ...]

    @property
    def title(self) -> str:
        """What was looked at, in one line."""
        return f"{self.name} (driver {self.driver})"

    @property
    def ok(self) -> bool:
        """Whether the cloud can be used."""
        return not any(check.level is Level.FAIL for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "cloud": self.cloud,
            "driver": self.driver,
            "ok": self.ok,
            "checks": [check.as_dict() for check in self.checks],
        }


def examine_cloud(cloud: str | None) -> Examination:
    """Look at a cloud: the named one, else the configured one, else this machine's libvirt.

    Raises:
        ConfigError: there is no such cloud, or its settings are wrong.
    """
    named = cloud or configured_cloud()
    profile = resolve(named or THIS_MACHINE)
    needs: Collection[Need] = profile.plugin.host_needs(profile.request) if profile.plugin.host_needs else ()
    checks: list[Check] = []
    if needs:
        checks += inspect(pool_path=_pool_path(profile, needs))
    checks += _of_cloud(named or THIS_MACHINE, profile)
    return Examination(
        name=f"The cloud {profile.name}" if named else "This machine as a libvirt host",
        cloud=profile.name,
        driver=profile.plugin.name,
        checks=tuple(check.judged({*needs, Need.CLOUD}) for check in checks),
    )


def _pool_path(profile: Profile, needs: Collection[Need]) -> str | None:
    """The folder that the pool is or will be in, as far as it is known before anything was asked."""
    given = profile.request.options.get("pool_path")
    if given is None and Need.LIBVIRT_SESSION in needs:
        return os.path.expanduser("~")
    return str(given) if given else None


def _of_cloud(name: str, profile: Profile) -> Iterator[Check]:
    extra = _python_modules(profile)
    yield extra
    yield _ssh_module()
    if extra.level is not Level.OK:
        return
    if profile.plugin.examine is not None:
        yield from profile.plugin.examine(profile.request)
    else:
        yield _answers(name)


def _python_modules(profile: Profile) -> Check:
    """``python.modules``: what the driver imports."""
    error = missing_extra(profile.plugin)
    needed = ", ".join(profile.plugin.requires) or "none beyond Python's own"
    return Check(
        name="python.modules",
        level=Level.FAIL if error else Level.OK,
        summary=f"{error.message}: {error.fault}" if error else f"the driver's modules are installed: {needed}",
        details={"modules": list(profile.plugin.requires)},
        hint=error.hint if error else "",
        needed_by=(Need.CLOUD,),
    )


def _ssh_module() -> Check:
    """``python.ssh``: what ``cloud.ssh`` imports."""
    try:
        importlib.import_module(_SSH_MODULE)
        problem = None
    except ImportError as error:
        problem = str(error)
    return Check(
        name="python.ssh",
        level=Level.WARN if problem else Level.OK,
        summary=f"cloud.ssh cannot be used: {problem}"
        if problem
        else "cloud.ssh can be used (paramiko is installed)",
        details={"module": _SSH_MODULE, "problem": problem},
        hint="Run: pip install 'cloudkit-sdk[ssh]'" if problem else "",
    )


def _answers(name: str) -> Check:
    """``cloud``: whether it can be opened and asked."""
    try:
        with connect(name) as cloud:
            flavors = sum(1 for _ in cloud.flavors.list())
            text = (
                f"it answers: project {cloud.project_id}, {len(cloud.capabilities)} capabilities, {flavors} flavors"
            )
    except CloudError as error:
        summary = f"{error.message} ({error.fault})" if error.fault else error.message
        return Check(
            name="cloud",
            level=Level.FAIL,
            summary=summary,
            details={"error": type(error).__name__},
            hint=error.hint,
            needed_by=(Need.CLOUD,),
        )
    return Check(name="cloud", level=Level.OK, summary=text, details={"error": None}, needed_by=(Need.CLOUD,))
