"""``cloudkit host install``: what libvirt's hooks bring back, and that uninstalling leaves nothing."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from bare_driver import until
from bed import LibvirtBed
from conftest import EXTERNAL_CIDR, RESUMED, ROUTED
from guarded_server import Guarded, guarded_server, outside
from test_host_network import ruleset, words

import cloudkit

OUTSIDE = "198.18.0.9"
HOOK = "/etc/libvirt/hooks/network.d/cloudkit"
FOREIGN_HOOK = "#!/bin/sh\n# of somebody else\n"


def host(bed: LibvirtBed, action: str, cloud: str = ROUTED) -> list[str]:
    """Run ``cloudkit host`` where libvirtd's files are."""
    return bed.inner_command([sys.executable, "-m", "cloudkit.cli", "host", action, "--cloud", cloud])


def files(bed: LibvirtBed) -> list[Path]:
    """What is in the folders that belong to the host."""
    return sorted(
        path
        for name in ("etc", "kept", "modules")
        for path in (bed.folder / name).rglob("*")
        if "hooks" in path.parts or name != "etc"
    )


def run(bed: LibvirtBed, action: str) -> str:
    done = bed.run(host(bed, action))
    return done.stdout


@pytest.fixture
def installed(bed: LibvirtBed, profile: str) -> Generator[None]:
    assert profile
    before = files(bed)
    run(bed, "install")
    # libvirt looks for new hooks when it starts.
    bed.restart_libvirtd()
    yield
    run(bed, "uninstall")
    assert files(bed) == before


@pytest.mark.usefixtures("installed")
def test_it_can_be_done_twice_and_undone_twice(bed: LibvirtBed) -> None:
    first = {path: path.read_bytes() for path in files(bed) if path.is_file()}
    run(bed, "install")
    again = {path: path.read_bytes() for path in files(bed) if path.is_file()}
    assert {path: content for path, content in again.items() if path in first} == first
    run(bed, "uninstall")
    assert run(bed, "uninstall") == "Nothing was installed.\n"


@pytest.mark.usefixtures("profile")
def test_another_programs_hook_is_left_alone(bed: LibvirtBed) -> None:
    bed.run(bed.inner_command(["mkdir", "-p", str(Path(HOOK).parent)]))
    bed.run(bed.inner_command(["tee", HOOK]), stdin=FOREIGN_HOOK)
    try:
        done = bed.run(host(bed, "install"), check=False)
        assert done.returncode == 1
        assert f"{HOOK} is there" in done.stderr
        assert files(bed) == [
            bed.folder / "etc/hooks",
            bed.folder / "etc/hooks/network.d",
            Path(f"{bed.folder}/etc{HOOK.removeprefix('/etc/libvirt')}"),
        ]
        assert run(bed, "uninstall") == "Nothing was installed.\n"
        assert bed.run(bed.inner_command(["cat", HOOK])).stdout == FOREIGN_HOOK
    finally:
        bed.run(bed.inner_command(["rm", "-r", str(Path(HOOK).parent)]))


@pytest.mark.usefixtures("installed")
def test_networks_that_are_restarted_by_hand_work_again_without_a_call(bed: LibvirtBed, guarded: Guarded) -> None:
    with outside(bed, OUTSIDE):
        guarded.check(OUTSIDE)
        before = words(ruleset(bed))
        for network in guarded.cloud.native.listAllNetworks():
            network.destroy()
            network.create()
        guarded.check(OUTSIDE)
        bed.run(["nft", "flush", "ruleset"])
        network.destroy()
        network.create()
        guarded.check(OUTSIDE)
        until(lambda: words(ruleset(bed)) == before, "the rules are as before")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("python", ["works", "is gone"])
def test_after_a_reboot_all_is_as_before(bed: LibvirtBed, tmp_path: Path, python: str) -> None:
    with cloudkit.connect(RESUMED) as cloud, cloud.scope("rebooted") as mine:
        mine.networks.create("public", cidr=EXTERNAL_CIDR, external=True)
        with guarded_server(cloud, tmp_path) as guarded:
            stopped = guarded.cloud.servers.create("stopped", image="guest", flavor="guest", networks=["inside"])
            guarded.cloud.servers.stop(stopped, timeout_s=1)
            with outside(bed, OUTSIDE):
                guarded.check(OUTSIDE)
            before = words(ruleset(bed))
            # What clients write in the bed's own folders is kept; this test's are others.
            run(bed, "reconcile")
            if python == "is gone":
                for hook in (bed.folder / "etc/hooks").rglob("cloudkit"):
                    hook.write_text(hook.read_text().replace(sys.executable, "/nowhere/python"))
            bed.reboot()
            with outside(bed, OUTSIDE):
                guarded.check(OUTSIDE)
            assert guarded.cloud.servers.get(stopped).status == "SHUTOFF"
            until(lambda: words(ruleset(bed)) == before, "the rules are as before")
