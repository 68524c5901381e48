"""The story: all that a small application needs from a cloud, step by step, on any back-end.

This is the script to read first. No step asks which back-end it runs on: image, login user, flavor and external
network come from the profile's ``[story]`` table, and a step whose capability the back-end does not declare is
told as not offered. All that is made belongs to one scope, which deletes it at the end, whatever happens.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudkit._scope_mark import current_owner, owner_is_dead
from cloudkit.cli.steps import Observer, Outcome, Player, Step, StepFailed, StepNotReached, step, steps_of
from cloudkit.errors import CloudError

if TYPE_CHECKING:
    from cloudkit import Cloud, Shell
    from cloudkit.types import Attachment, Flavor, Image, KeyPair, Network, Server, Volume

GIB = 2**30
_PARTITION = bytes.fromhex("80010100 83feffff 01000000 ff070000")
BLANK_IMAGE = bytes(446) + _PARTITION + bytes(48) + b"\x55\xaa" + bytes(2**20 - 512)
"""A raw disk of 1 MiB with a boot sector that boots nothing: enough where servers are not machines.

It has a partition, as Glance refuses a boot sector without any (oslo.utils, format_inspector).
"""
FOLDER_PREFIX = "cloudkit-"
PLUG_TIMEOUT_S = 30


class Story:
    """The steps, in order. What one step makes, the later ones find on ``self``."""

    image: Image
    flavor: Flavor
    key_pair: KeyPair
    server: Server
    volume: Volume
    disk: Attachment

    def __init__(self, cloud: Cloud, settings: Mapping[str, Any], name: str, folder: Path) -> None:
        """Begin in ``cloud``; things are named after ``name``, files are put into ``folder``."""
        self.cloud = cloud
        self.settings = settings
        self.name = name
        self.key_path = folder / "id_ed25519"
        self.image_path = Path(settings.get("image") or blank_image(folder))
        # A server that is given no network or group takes the back-end's own.
        self.networks: list[Network] = []
        self.security_groups: list[str] = []

    @step("network with a subnet", needs=("networks.create", "subnets.create"))
    def make_network(self) -> str:
        cidr = self.settings.get("cidr", "172.16.1.0/24")
        network = self.cloud.networks.create(f"{self.name}-net", cidr=cidr, dns=self.settings.get("dns", ()))
        self.networks = [network]
        return f"{network.name} {cidr}"

    @step("router to the outside", needs=("routers",))
    def make_router(self) -> str:
        external = self.settings.get("external_network")
        router = self.cloud.routers.create(f"{self.name}-router", external=external, networks=self.networks)
        return f"{', '.join(router.external_ips)} on {external}"

    @step("image", needs=("images.create",))
    def upload_image(self) -> str:
        self.image = self.cloud.images.upload(f"{self.name}-image", path=self.image_path)
        return f"{self.image_path.name}, {self.image.disk_format}, {self.image.size_bytes or 0:,} bytes"

    @step("flavor")
    def choose_flavor(self) -> str:
        if ready_made := self.settings.get("flavor"):
            self.flavor = self.cloud.flavors.get(ready_made)
        else:
            self.flavor = self.cloud.flavors.create(f"{self.name}-flavor", vcpus=1, ram_mib=256, disk_gib=1)
        return f"{self.flavor.name}: {self.flavor.vcpus} vCPU, {self.flavor.ram_mib} MiB"

    @step("key pair")
    def make_key_pair(self) -> str:
        self.key_pair = self.cloud.key_pairs.generate(f"{self.name}-key", self.key_path)
        return self.key_pair.fingerprint

    @step("security group for ssh and ping", needs=("security_groups", "servers.create:security_group_ids"))
    def make_security_group(self) -> str:
        group = self.cloud.security_groups.create(f"{self.name}-ssh", description="ssh and ping")
        self.cloud.security_groups.add_rule(group, "tcp", port=22)
        self.cloud.security_groups.add_rule(group, "icmp")
        self.security_groups = [group.name]
        return "tcp 22, icmp"

    @step("server", needs=("images.create",))
    def boot_server(self) -> str:
        self.server = self.cloud.servers.create(
            f"{self.name}-server",
            image=self.image,
            flavor=self.flavor,
            networks=self.networks,
            key_pair=self.key_pair,
            security_groups=self.security_groups,
        )
        return f"{self.server.status}, {', '.join(address.ip for address in self.server.addresses)}"

    @step("volume of 1 GiB")
    def make_volume(self) -> str:
        self.volume = self.cloud.volumes.create(f"{self.name}-data", size_gib=1)
        return self.volume.status

    @step("volume attached", needs=("volumes.attach",))
    def attach_volume(self) -> str:
        self.disk = self.cloud.volumes.attach(self.volume, self.server)
        return f"as {self.disk.device_hint}, serial {self.disk.serial}"

    @step("floating IP", needs=("floating_ips",))
    def give_floating_ip(self) -> str:
        # On OpenStack it is the only way from outside to the server.
        external = self.settings.get("external_network")
        floating_ip = self.cloud.floating_ips.create(external=external, server=self.server)
        return f"{floating_ip.ip} → {floating_ip.fixed_ip}"

    @step("disk seen over ssh", needs=("servers.ssh", "volumes.attach"))
    def see_disk(self) -> str:
        with self.shell() as shell:
            device = find_disk(shell, self.disk)
            # fdisk reads the disk itself, and only root may.
            sudo = "" if self.settings.get("user", "root") == "root" else "sudo "
            table = shell.run(f"{sudo}fdisk -l {device}", check=True).stdout
        headline = next((line for line in table.splitlines() if line.startswith(f"Disk {device}")), "")
        if f"{GIB} bytes" not in headline:
            raise CloudError(f"the guest's {device} does not have the 1 GiB of its volume", fault=headline)
        return headline

    @step("ssh by the floating IP", needs=("floating_ips", "servers.ssh"))
    def log_in_from_outside(self) -> str:
        # The best way to the server comes first, and that is the floating IP.
        with self.shell() as shell:
            return f"logged in to {shell.run('hostname', check=True).stdout.strip()}"

    @step("snapshot of the server", needs=("servers.create_image",))
    def take_snapshot(self) -> str:
        image = self.cloud.servers.create_image(self.server, f"{self.name}-snapshot")
        return f"{image.name}, {image.size_bytes or 0:,} bytes"

    def shell(self) -> Shell:
        """A shell in the server, whose host key is verified from the first contact on."""
        return self.cloud.ssh(
            self.server,
            user=self.settings.get("user", "root"),
            key=self.key_path,
            timeout_s=self.settings.get("timeout_s", 120),
        )


@dataclass(frozen=True, slots=True)
class StoryResult:
    """How the story ended.

    Attributes:
        scope: the name that ``cloudkit sweep`` knows its things by.
        folder: where the private key is, if the things were kept.
    """

    scope: str
    folder: Path
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every step passed that the back-end offers."""
        return not any(isinstance(outcome, StepFailed | StepNotReached) for outcome in self.outcomes)


def run_story(cloud: Cloud, observer: Observer, keep: bool = False) -> StoryResult:
    """Run the story in a scope of its own, and delete all that it made.

    A step that fails ends the story; it is told to the observer, not raised. Ctrl-C is raised again when all is
    deleted. With ``keep`` nothing is deleted, the private key neither; ``cloudkit sweep`` does it later.
    """
    name = f"story-{secrets.token_hex(3)}"
    player = Player(cloud.capabilities, observer)
    # Its name tells the sweep whose it is, from the first moment on.
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{name}@{current_owner()}@"))
    with ExitStack() as scope:
        scope.callback(shutil.rmtree, folder)
        mine = scope.enter_context(cloud.scope(name))

        def delete_all() -> str:
            scope.close()
            left = [leftover for leftover in cloud.sweep() if leftover.scope.name == name]
            if left:
                raise CloudError(f"{len(left)} things are left", hint=f"cloudkit sweep --name {name} --delete")
            return "nothing is left"

        try:
            player.play(steps_of(Story(mine, cloud.story, name, folder)))
        finally:
            if keep:
                scope.pop_all()
            else:
                player.play([Step("delete all", delete_all)])
    return StoryResult(name, folder, tuple(player.outcomes))


def remove_folders(names: Collection[str]) -> None:
    """Delete what killed stories have left in the temporary folder: with the private key, nobody should find it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*@*@*"):
        name, owner, _ = folder.name.removeprefix(FOLDER_PREFIX).split("@", 2)
        mine = folder.stat().st_uid == os.getuid() and not folder.is_symlink()
        if mine and (name in names or owner_is_dead(owner)):
            shutil.rmtree(folder)


def find_disk(shell: Shell, disk: Attachment) -> str:
    """The device that the guest shows a volume as, found by its serial number where the guest tells it.

    A guest takes a moment to notice what was plugged in: it is asked again for up to PLUG_TIMEOUT_S.
    """
    deadline = time.monotonic() + PLUG_TIMEOUT_S
    while time.monotonic() < deadline:
        for line in shell.run("lsblk -dno NAME,SERIAL", check=True).stdout.splitlines():
            name, *serial = line.split()
            if serial == [disk.serial] or (not serial and f"/dev/{name}" == disk.device_hint):
                return f"/dev/{name}"
        time.sleep(0.2)
    raise CloudError(f"the guest does not show the disk {disk.serial} after {PLUG_TIMEOUT_S} s")


def blank_image(folder: Path) -> Path:
    """A file with the blank image."""
    path = folder / "blank.img"
    path.write_bytes(BLANK_IMAGE)
    return path
