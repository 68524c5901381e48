"""Build a Debian with real cloud-init: a qcow2 disk as a cloud would offer it, made of packages by mmdebstrap."""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

from guest_image import DEFAULT_CACHE, cached, make_boot_partition, make_disk, make_root_partition, run
from host_packages import BedError, install_packages

HERE = Path(__file__).resolve().parent
SUITE = "bookworm"
BOOT_MIB, ROOT_MIB = 96, 1100
ROOT_LABEL = "debianroot"
INCLUDED = (
    "linux-image-cloud-amd64",
    "systemd-sysv",
    # logind, which hears the power button, needs it.
    "dbus",
    "udev",
    "cloud-init",
    "openssh-server",
    "ifupdown",
    "isc-dhcp-client",
    "iproute2",
    "sudo",
    "qemu-guest-agent",
)
SYSLINUX = f"""\
DEFAULT debian
PROMPT 0
TIMEOUT 0
LABEL debian
 LINUX /vmlinuz
 INITRD /initrd
 APPEND root=LABEL={ROOT_LABEL} rw console=ttyS0 net.ifnames=0 mitigations=off random.trust_cpu=on
"""
FSTAB = f"LABEL={ROOT_LABEL} / ext4 defaults,noatime 0 1\n"


def sources() -> str:
    """Return the lines of a sources.list: the places where this host's own apt finds Debian."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listing = run("apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian")
    lines = sorted({f"deb {line}" for line in listing.splitlines() if f" {SUITE}" in line})
    if not lines:
        raise BedError(f"this host's apt knows no Debian {SUITE}; is `apt-get update` due?")
    return "\n".join(lines) + "\n"


def build(output: Path) -> None:
    """Build the disk and write it to `output`."""
    with tempfile.TemporaryDirectory(prefix="debian-image-") as name:
        work = Path(name)
        root = work / "root"
        (work / "sources.list").write_text(sources())
        run(
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            "--format=directory",
            f"--include={','.join(INCLUDED)}",
            SUITE,
            root,
            work / "sources.list",
        )
        (root / "etc/fstab").write_text(FSTAB)
        # Made by the first boot, so that no two servers are alike.
        for key in (root / "etc/ssh").glob("ssh_host_*"):
            key.unlink()
        (root / "etc/machine-id").write_text("")
        (work / "syslinux.cfg").write_text(SYSLINUX)
        boot_files = {"vmlinuz": _one(root, "vmlinuz-*"), "initrd": _one(root, "initrd.img-*")}
        make_boot_partition(work / "boot.fat", {**boot_files, "syslinux.cfg": work / "syslinux.cfg"}, BOOT_MIB)
        make_root_partition(work / "root.ext4", root, ROOT_MIB, ROOT_LABEL)
        make_disk(work, work / "boot.fat", work / "root.ext4", output)


def _one(root: Path, pattern: str) -> Path:
    (found,) = (root / "boot").glob(pattern)
    return found


def debian_image(cache: Path = DEFAULT_CACHE) -> Path:
    """Return the path of the disk, built now unless `cache` has one that is built the same way.

    Newer packages alone are no reason to build it anew: it takes a minute.
    """
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return cached(cache, f"debian-{digest}", build)


def main() -> None:
    """Build or find the image and print its path."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    arguments = parser.parse_args()
    install_packages()
    print(debian_image(arguments.cache))


if __name__ == "__main__":
    main()
