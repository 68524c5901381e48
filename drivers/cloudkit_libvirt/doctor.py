"""What ``cloudkit doctor`` is told of a libvirt cloud: the connection, KVM, the pool, and what is not ours.

It only looks: a pool that is not there yet is not made.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import libvirt  # pyright: ignore[reportMissingTypeStubs]

from cloudkit._schema import SchemaError, from_data
from cloudkit.driver import OpenRequest
from cloudkit.errors import CloudError, ConfigError
from cloudkit.host import Check, Level, Need
from cloudkit.host.report import Detail
from cloudkit_libvirt import bodies, errors, routing_bodies
from cloudkit_libvirt.blobs import BlobGone, BlobStore, PoolBlobs
from cloudkit_libvirt.bodies import Body
from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.hostnet.installation import Installation
from cloudkit_libvirt.hostnet.installation_check import host_install
from cloudkit_libvirt.needs import host_needs
from cloudkit_libvirt.opening import Attempt, opened
from cloudkit_libvirt.pool import Pool
from cloudkit_libvirt.record_bytes import Damaged, Unfinished, decode
from cloudkit_libvirt.ssh_transport import remove_command, with_ssh_command
from cloudkit_libvirt.virt_type import judge
from cloudkit_libvirt.xml_tree import parse

_NEEDED = (Need.CLOUD,)
_HANGS_HINT = "Its daemon hangs: `sudo systemctl restart libvirtd` ends that; servers go on running meanwhile."
_SHOWN = 8
"""So many names are shown to people; programs get all."""
_LEAST_FREE, _AMPLE_FREE = 1 << 30, 10 << 30
_DOMAIN = re.compile(r"ck-(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_RECORD = re.compile(r"ck1\.(?P<kind>[a-z_]+)\.(?P<id>[0-9a-f-]{36})\.[0-9]{1,9}")
_OURS = ("ck-", "ck1.")


def examine(request: OpenRequest) -> Iterator[Check]:
    """Look at a libvirt host and pool."""
    uri = request.options.get("uri") or request.address
    if not uri:
        yield _no_connection("", "the profile does not say where libvirt is", 'Set uri = "qemu:///system" in it.')
        return
    try:
        with_command = with_ssh_command(uri)
    except ConfigError as error:
        yield _no_connection(uri, error.message, error.hint)
        return
    try:
        yield from _of_uri(with_command, request)
    finally:
        remove_command(with_command)


def _of_uri(uri: str, request: OpenRequest) -> Iterator[Check]:
    try:
        virt = Attempt(lambda: opened(uri)).in_time()
    except TimeoutError:
        yield _no_connection(uri, f"{_shown(uri)} accepts a connection and does not answer", _HANGS_HINT)
        return
    except (libvirt.libvirtError, CloudError) as error:
        refused = errors.translate(error, lambda: None)
        yield _no_connection(uri, f"{_shown(uri)}: {refused.message} ({refused.fault})", refused.hint)
        return
    try:
        yield from _of_host(virt, uri, request.options)
        if Need.LIBVIRT_SYSTEM in host_needs(request):
            yield host_install(Installation(), request.profile)
    except libvirt.libvirtError as error:
        yield _lost(error)
    finally:
        virt.close()


def _no_connection(uri: str, summary: str, hint: str) -> Check:
    return Check(
        name="libvirt.connection",
        level=Level.FAIL,
        summary=summary,
        details={"uri": _shown(uri), "hypervisor": None, "libvirt": None},
        hint=hint,
        needed_by=_NEEDED,
    )


def _of_host(virt: Any, uri: str, options: Mapping[str, Any]) -> Iterator[Check]:
    hypervisor = f"{virt.getType()} {_version(virt.getVersion())}"
    library = _version(virt.getLibVersion())
    yield Check(
        name="libvirt.connection",
        level=Level.OK,
        summary=f"libvirt {library} answers at {_shown(uri)}, with the hypervisor {hypervisor}",
        details={"uri": _shown(uri), "hypervisor": hypervisor, "libvirt": library},
        needed_by=_NEEDED,
    )
    if virt.getType() == "QEMU":
        yield virt_type(options["virt_type"], virt.getCapabilities(), uri)
    yield _networks(virt)
    pool = next((pool for pool in virt.listAllStoragePools() if pool.name() == options["pool"]), None)
    yield _pool(pool, options)
    if pool is None or not pool.isActive() or virt.getType() == "TEST":
        names: list[str] = []
    else:
        names = [volume.name() for volume in pool.listAllVolumes()]
        connection = Connection(uri, options["pool"], options["pool_path"])
        try:
            yield records(PoolBlobs(Pool(connection)), names)
        finally:
            connection.close()
    yield _foreign(virt, names)


def virt_type(wanted: str, capabilities: str, uri: str) -> Check:
    """``libvirt.virt_type``: what the servers are run by."""
    parts = urlsplit(uri)
    found, reason = judge(capabilities, parts.hostname is None, parts.path == "/session")
    chosen = found if wanted == "auto" else wanted
    details: dict[str, Detail] = {"wanted": wanted, "found": found, "chosen": chosen}
    if chosen == "kvm":
        level, text = Level.OK, f"servers are run by KVM: {reason}"
        if found != "kvm":
            level, text = Level.FAIL, f"virt_type=kvm is set, and KVM cannot be used: {reason}"
    elif wanted == "qemu" and found == "kvm":
        level, text = Level.WARN, "servers are run by QEMU's emulation, as virt_type=qemu is set; KVM looks usable"
    else:
        level, text = Level.WARN, f"servers are run by QEMU's emulation, which is slow: {reason}"
    hint = "" if level is Level.OK else "The check kvm tells more, on the host itself: `cloudkit doctor`."
    return Check(name="libvirt.virt_type", level=level, summary=text, details=details, hint=hint, needed_by=_NEEDED)


def _networks(virt: Any) -> Check:
    """``libvirt.networks``: those that are there, ours and others."""
    names = {network.name(): bool(network.isActive()) for network in virt.listAllNetworks()}
    ours = [name for name in names if name.startswith("ck-")]
    others = [name for name in names if name not in ours]
    asleep = [name for name in ours if not names[name]]
    summary = f"{len(ours)} networks of cloudkit, {len(others)} others{_told(others)}"
    return Check(
        name="libvirt.networks",
        level=Level.WARN if asleep else Level.OK,
        summary=summary + (f"; not started: {', '.join(asleep)}" if asleep else ""),
        details={"ours": len(ours), "others": others, "inactive": asleep},
        hint=f"`virsh net-start {asleep[0]}`" if asleep else "",
    )


def _pool(pool: Any, options: Mapping[str, Any]) -> Check:
    """``libvirt.pool``: where records, images and disks are kept."""
    name = options["pool"]
    details: dict[str, Detail] = {"name": name, "active": None, "path": None, "free_bytes": None}

    def check(level: Level, summary: str, hint: str = "") -> Check:
        return Check(name="libvirt.pool", level=level, summary=summary, details=details, hint=hint, needed_by=_NEEDED)

    if pool is None:
        return check(Level.INFO, f"there is no pool {name!r} yet; the first connection makes it")
    path = parse(pool.XMLDesc()).findtext("target/path")
    details |= {"active": bool(pool.isActive()), "path": path}
    if not pool.isActive():
        return check(Level.WARN, f"the pool {name!r} in {path} is not started; the next connection starts it")
    free = int(pool.info()[3])
    details["free_bytes"] = free
    text = f"the pool {name!r} in {path} has {free / 2**30:.1f} GiB free"
    if free >= _AMPLE_FREE:
        return check(Level.OK, text)
    level = Level.FAIL if free < _LEAST_FREE else Level.WARN
    return check(level, text, "Delete images, volumes or servers, or enlarge the pool's file system.")


def records(store: BlobStore, names: Collection[str]) -> Check:
    """``libvirt.records``: whether all of them can be read."""
    types = _body_types()
    records = [match for match in map(_RECORD.fullmatch, names) if match]
    bad: dict[str, str] = {}
    for match in records:
        try:
            data = decode(store.read(match[0]))
            if body := types.get(match["kind"]):
                from_data(body, data)
        except BlobGone:
            continue
        except Unfinished:
            bad[match[0]] = "nothing is written in it"
        except (Damaged, SchemaError) as error:
            bad[match[0]] = str(error)
    summary = f"all {len(records)} records can be read"
    if bad:
        first, reason = next(iter(bad.items()))
        summary = f"{len(bad)} of {len(records)} records cannot be read, and are passed over: {first} ({reason})"
    return Check(
        name="libvirt.records",
        level=Level.WARN if bad else Level.OK,
        summary=summary,
        details={"count": len(records), "damaged": sorted(bad)},
        hint=_BAD_RECORD_HINT if bad else "",
    )


def _body_types() -> dict[str, type[Body]]:
    """The class of each kind's records, by the word in their names."""
    values = [value for module in (bodies, routing_bodies) for value in vars(module).values()]
    classes = [value for value in values if isinstance(value, type) and issubclass(value, Body) and value is not Body]
    return {body.kind.name.lower(): body for body in classes}


_BAD_RECORD_HINT = (
    "A create that is under way looks so for a moment: look again. What stays, a crash or another program has "
    "written; `virsh vol-delete NAME --pool POOL` removes it."
)


def _foreign(virt: Any, volumes: Collection[str]) -> Check:
    """``libvirt.foreign``: domains and volumes that cloudkit never lists and never touches."""
    known = {match["id"] for match in map(_RECORD.fullmatch, volumes) if match and match["kind"] == "server"}
    domains: list[str] = []
    for domain in virt.listAllDomains():
        match = _DOMAIN.fullmatch(domain.name())
        if match is None or match["id"] not in known:
            domains.append(domain.name())
    others = sorted(name for name in volumes if not name.startswith(_OURS))
    return Check(
        name="libvirt.foreign",
        level=Level.INFO,
        summary=f"not cloudkit's, and left alone: {len(domains)} domains{_told(domains)}, "
        f"{len(others)} volumes in the pool{_told(others)}",
        details={"domains": sorted(domains), "volumes": others},
    )


def _lost(error: libvirt.libvirtError) -> Check:
    refused = errors.translate(error, lambda: None)
    return Check(
        name="libvirt.lost",
        level=Level.FAIL,
        summary=f"libvirt stopped answering or refused: {refused.fault}",
        details={"error": type(refused).__name__},
        hint=refused.hint,
        needed_by=_NEEDED,
    )


def _told(names: Collection[str]) -> str:
    if not names:
        return ""
    first = sorted(names)[:_SHOWN]
    return f" ({', '.join(first)}{', …' if len(names) > len(first) else ''})"


def _shown(uri: str) -> str:
    """The URI without its query, which may name files."""
    return uri.partition("?")[0]


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
