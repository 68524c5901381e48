"""Build the small bootable guest of the tests: a qcow2 disk made from Debian packages alone.

Nothing is mounted and nothing is run inside a chroot. The disk has a FAT partition with kernel and initramfs,
syslinux to boot them by BIOS and GRUB to boot them by UEFI, and an ext4 partition with the root file system. What
runs in the guest lies in the folder `guest`.
"""

from __future__ import annotations

import argparse
import fcntl
import gzip
import hashlib
import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from host_packages import BedError, apt_get, install_packages, read_list

HERE = Path(__file__).resolve().parent
GUEST = HERE / "guest"
# Outside of the checkout, so that the next one finds it too.
DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudkit/guest-image"

MIB = 1 << 20
SECTOR = 512
BOOT_MIB = 20
ROOT_MIB = 40
FAT_HEADS, FAT_SECTORS_PER_TRACK = 64, 32
ROOT_LABEL = "guestroot"
SYSLINUX_CONFIG = GUEST / "boot/syslinux.cfg"
GRUB_MODULES = ("part_msdos", "fat", "search", "search_fs_file", "linux", "boot")
MBR_CODE = Path("/usr/lib/syslinux/mbr/mbr.bin")
SIGNATURE_MAGIC = b"~Module signature appended~\n"
SIGNATURE_INFO_SIZE = 12

# Where in the guest each program of the packages goes; the busybox applets fill the rest.
PROGRAMS = {
    "dash": "usr/bin",
    "dropbear": "usr/sbin",
    "dropbearkey": "usr/bin",
    "dropbearconvert": "usr/bin",
    "sftp-server": "usr/lib",
    "fdisk": "usr/sbin",
    "lsblk": "usr/bin",
    "qemu-ga": "usr/sbin",
}
FOLDERS = (
    "dev",
    "etc/dropbear",
    "home/cloud",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib64",
    "usr/sbin",
    "var/lib",
    "var/log",
)
LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    # qemu-ga keeps its state below the former.
    "var/run": "/run",
    # Not busybox's shell: that one prefers its own applets (a weaker fdisk) to the programs in PATH.
    "usr/bin/sh": "dash",
}


@dataclass(frozen=True, kw_only=True)
class Package:
    """A Debian package as apt would fetch it now."""

    name: str
    file: str
    sha256: str


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a tool and return its output; a failure shows the command and what it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BedError(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{done.stdout}")
    return done.stdout


def resolve_packages(names: Iterable[str]) -> list[Package]:
    """Return the versions that apt would fetch, with the kernel's meta package replaced by the kernel."""
    resolved = [_kernel_package(name) if name.startswith("linux-image-") else name for name in names]
    listing = apt_get("download", "--print-uris", *resolved)
    pattern = re.compile(r"^'[^']+' (?P<file>(?P<name>[^_\s]+)_\S+\.deb) \d+ SHA256:(?P<sha256>[0-9a-f]{64})", re.M)
    packages = [Package(**match.groupdict()) for match in pattern.finditer(listing)]
    if absent := set(resolved) - {package.name for package in packages}:
        raise BedError(f"apt does not know {' '.join(sorted(absent))}; is `apt-get update` due?")
    return sorted(packages, key=lambda package: package.name)


def _kernel_package(meta: str) -> str:
    match = re.search(r"Depends: (linux-image-\d\S*)", run("apt-cache", "depends", meta))
    if match is None:
        raise BedError(f"{meta} depends on no kernel package")
    return match[1]


def fetch_packages(packages: Iterable[Package], folder: Path) -> list[Path]:
    """Download those packages that `folder` lacks and return the paths of all, checksums verified."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {folder / package.file: package for package in packages}
    if absent := [package.name for path, package in wanted.items() if not path.exists()]:
        apt_get("download", *absent, cwd=folder)
    for path, package in wanted.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
            path.unlink()
            raise BedError(f"{path.name} does not have the checksum that apt states; run again to fetch it anew")
    return list(wanted)


@dataclass(frozen=True)
class Tree:
    """All packages unpacked over each other, with an index of the files by name."""

    root: Path
    index: dict[str, Path]

    @classmethod
    def unpack(cls, debs: Iterable[Path], root: Path) -> Tree:
        """Unpack `debs` into `root`."""
        root.mkdir()
        for deb in debs:
            run("dpkg-deb", "--extract", deb, root)
        index: dict[str, Path] = {}
        for folder, subfolders, files in os.walk(root):
            if folder == str(root):
                # Configuration, completions and the like are called as the programs are.
                subfolders.remove("etc")
            if "share" in subfolders:
                subfolders.remove("share")
            for file in files:
                index.setdefault(file, Path(folder, file))
        return cls(root, index)

    def find(self, name: str) -> Path:
        """Return the file called `name`, links followed."""
        try:
            return self.index[name].resolve(strict=True)
        except KeyError:
            raise BedError(f"none of the guest's packages has a file {name}") from None

    @property
    def kernel_version(self) -> str:
        """The version of the one kernel in the tree."""
        (version,) = os.listdir(self.root / "lib/modules")
        return version

    def module_closure(self, names: Iterable[str]) -> list[Path]:
        """Return the modules and all they depend on, in the order in which insmod takes them.

        A name that this kernel has built in, or not at all, is left out.
        """
        modules = self.root / "lib/modules" / self.kernel_version
        if not (modules / "modules.dep").exists():
            run("depmod", "-b", self.root, self.kernel_version)
        needs = {}
        for line in (modules / "modules.dep").read_text().splitlines():
            module, _, dependencies = line.partition(":")
            needs[Path(module).stem.replace("-", "_")] = (module, dependencies.split())
        ordered: dict[Path, None] = {}
        for name in names:
            module, dependencies = needs.get(name.replace("-", "_"), (None, []))
            for path in [*reversed(dependencies), *([module] if module else [])]:
                ordered.setdefault(modules / path)
        return list(ordered)


def shared_libraries(tree: Tree, programs: Iterable[Path]) -> dict[str, Path]:
    """Return the libraries that `programs` need, directly or through one another, by soname."""
    libraries: dict[str, Path] = {}
    queue = list(programs)
    while queue:
        for soname in re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "--dynamic", queue.pop())):
            if soname not in libraries:
                libraries[soname] = tree.find(soname)
                queue.append(libraries[soname])
    return libraries


def make_root(tree: Tree, root: Path) -> None:
    """Lay out the guest's root file system below `root`."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    for link, target in LINKS.items():
        (root / link).symlink_to(target)
    shutil.copytree(GUEST / "root", root, dirs_exist_ok=True)
    for name, folder in PROGRAMS.items():
        _install(tree.find(name), root / folder / name)
    for soname, path in shared_libraries(tree, (tree.find(name) for name in PROGRAMS)).items():
        loader = soname.startswith("ld-linux")
        _install(path, root / ("usr/lib64" if loader else "usr/lib/x86_64-linux-gnu") / soname)
    _install_busybox(tree.find("busybox"), root)
    _install_modules(tree, root)
    (root / "tmp").chmod(0o1777)
    (root / "root").chmod(0o700)


def _install(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _install_busybox(busybox: Path, root: Path) -> None:
    _install(busybox, root / "usr/bin/busybox")
    for applet in run(busybox, "--list").split():
        places = [root / folder / applet for folder in ("usr/bin", "usr/sbin")]
        if not any(place.exists() or place.is_symlink() for place in places):
            # init must be where the kernel and switch_root look for it.
            places[applet == "init"].symlink_to("/usr/bin/busybox")


def unsigned(module: Path) -> bytes:
    """Return a kernel module without its signature, whose check is a big sum for an emulated CPU."""
    content = module.read_bytes()
    if not content.endswith(SIGNATURE_MAGIC):
        return content
    # The kernel's struct module_signature: its last four bytes are the size of what lies before it.
    end = len(content) - len(SIGNATURE_MAGIC) - SIGNATURE_INFO_SIZE
    (size,) = struct.unpack_from(">I", content, end + SIGNATURE_INFO_SIZE - 4)
    return content[: end - size]


def _install_modules(tree: Tree, root: Path) -> None:
    folder = root / "usr/lib/modules" / tree.kernel_version
    folder.mkdir(parents=True)
    wanted = read_list(GUEST / "initramfs/modules.txt") + read_list(GUEST / "modules.txt")
    for module in tree.module_closure(wanted):
        (folder / module.name).write_bytes(unsigned(module))
    source = tree.root / "lib/modules" / tree.kernel_version
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(source / name, folder)
    run("depmod", "-b", root, tree.kernel_version)
    for index in folder.glob("modules.*"):
        if index.name not in ("modules.dep", "modules.alias", "modules.builtin"):
            index.unlink()


@dataclass(frozen=True)
class CpioEntry:
    """One file or folder of an initramfs."""

    name: str
    mode: int
    data: bytes = b""


def cpio_archive(entries: Iterable[CpioEntry]) -> bytes:
    """Return a `newc` cpio archive, the form that the kernel unpacks; all belongs to root."""
    archive = bytearray()
    for inode, entry in enumerate([*entries, CpioEntry("TRAILER!!!", 0)], start=1):
        name = entry.name.encode() + b"\0"
        fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + name, entry.data):
            archive += part + b"\0" * (-len(part) % 4)
    return bytes(archive)


def initramfs(tree: Tree) -> bytes:
    """Return the initramfs: busybox, the disk's modules and a script that mounts the root file system."""
    return gzip.compress(cpio_archive(_initramfs_entries(tree)), mtime=0)


def _initramfs_entries(tree: Tree) -> Iterator[CpioEntry]:
    for folder in ("bin", "dev", "modules", "proc", "root"):
        yield CpioEntry(folder, stat.S_IFDIR | 0o755)
    executable, plain = stat.S_IFREG | 0o755, stat.S_IFREG | 0o644
    yield CpioEntry("bin/busybox", executable, tree.find("busybox").read_bytes())
    yield CpioEntry("init", executable, (GUEST / "initramfs/init").read_bytes())
    modules = tree.module_closure(read_list(GUEST / "initramfs/modules.txt"))
    for module in modules:
        yield CpioEntry(f"modules/{module.name}", plain, unsigned(module))
    yield CpioEntry("modules/order", plain, "\n".join(module.name for module in modules).encode())


def make_uefi_loader(config: Path, output: Path) -> None:
    """Write a GRUB that boots the same kernel by UEFI, with the command line that syslinux has."""
    (command_line,) = re.findall(r"^ *APPEND (.*)$", SYSLINUX_CONFIG.read_text(), re.MULTILINE)
    config.write_text(f"search --set=root --file /vmlinuz\nlinux /vmlinuz {command_line}\ninitrd /initrd\nboot\n")
    run("grub-mkimage", "-O", "x86_64-efi", "-p", "/EFI/BOOT", "-c", config, "-o", output, *GRUB_MODULES)


def make_boot_partition(image: Path, files: dict[str, Path], size_mib: int = BOOT_MIB) -> None:
    """Write a bootable FAT file system with `files` to `image`."""
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    cylinder = FAT_HEADS * FAT_SECTORS_PER_TRACK * SECTOR
    env = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    run(
        "mformat",
        "-i",
        image,
        "-t",
        str(size_mib * MIB // cylinder),
        "-h",
        str(FAT_HEADS),
        "-n",
        str(FAT_SECTORS_PER_TRACK),
        "-H",
        str(MIB // SECTOR),
        "::",
        env=env,
    )
    for folder in sorted({str(parent) for name in files for parent in Path(name).parents} - {"."}):
        run("mmd", "-i", image, f"::{folder}", env=env)
    for name, path in files.items():
        run("mcopy", "-i", image, path, f"::{name}", env=env)
    run("syslinux", "--install", image, env=env)


def make_root_partition(image: Path, root: Path, size_mib: int = ROOT_MIB, label: str = ROOT_LABEL) -> None:
    """Write an ext4 file system with the content of `root` to `image`."""
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    # Without journal and checksums a boot has less to read and to compute.
    run(
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-O",
        "^has_journal,^64bit,^metadata_csum",
        "-m",
        "0",
        "-N",
        str(size_mib << 10 >> 4 if size_mib > ROOT_MIB else 4096),
        "-L",
        label,
        "-E",
        "root_owner=0:0,lazy_itable_init=0,nodiscard",
        "-d",
        root,
        image,
    )


def master_boot_record(boot_mib: int, root_mib: int) -> bytes:
    """Return the first sector: syslinux' boot code and the two partitions."""
    record = bytearray(SECTOR)
    code = MBR_CODE.read_bytes()[:440]
    record[: len(code)] = code
    partitions = ((0x80, 0x0E, 1, boot_mib), (0x00, 0x83, 1 + boot_mib, root_mib))
    for number, (flag, kind, start, size) in enumerate(partitions):
        # All boot code here addresses by sector number: the cylinder fields hold "out of range".
        struct.pack_into(
            "<B3sB3sII",
            record,
            446 + 16 * number,
            flag,
            b"\xfe\xff\xff",
            kind,
            b"\xfe\xff\xff",
            start * MIB // SECTOR,
            size * MIB // SECTOR,
        )
    record[510:] = b"\x55\xaa"
    return bytes(record)


def make_disk(work: Path, boot: Path, root: Path, output: Path) -> None:
    """Join the partitions to one compressed qcow2 disk."""
    raw = work / "disk.raw"
    with raw.open("wb") as disk:
        disk.write(master_boot_record(*(part.stat().st_size // MIB for part in (boot, root))))
        disk.seek(MIB)
    for part, offset_mib in ((boot, 1), (root, 1 + boot.stat().st_size // MIB)):
        run("dd", f"if={part}", f"of={raw}", "bs=1M", f"seek={offset_mib}", "conv=sparse,notrunc", "status=none")
    run("truncate", "-s", str(MIB + boot.stat().st_size + root.stat().st_size), raw)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compat=1.1", raw, output)


def build(packages: Iterable[Package], downloads: Path, output: Path) -> None:
    """Build the guest's disk from `packages` and write it to `output`."""
    debs = fetch_packages(packages, downloads)
    with tempfile.TemporaryDirectory(prefix="guest-image-") as name:
        work = Path(name)
        tree = Tree.unpack(debs, work / "packages")
        make_root(tree, work / "root")
        (work / "initrd").write_bytes(initramfs(tree))
        make_uefi_loader(work / "grub.cfg", work / "grub.efi")
        boot_files = {
            "vmlinuz": tree.find(f"vmlinuz-{tree.kernel_version}"),
            "initrd": work / "initrd",
            "syslinux.cfg": SYSLINUX_CONFIG,
            # Where UEFI looks on a disk that it has never booted.
            "EFI/BOOT/BOOTX64.EFI": work / "grub.efi",
        }
        make_boot_partition(work / "boot.fat", boot_files)
        make_root_partition(work / "root.ext4", work / "root")
        make_disk(work, work / "boot.fat", work / "root.ext4", output)


def build_key(packages: Iterable[Package]) -> str:
    """Return a digest of all that the image depends on."""
    digest = hashlib.sha256()
    for source in [Path(__file__), *sorted(path for path in GUEST.rglob("*") if path.is_file())]:
        digest.update(f"{source.relative_to(HERE)} {source.stat().st_mode & 0o111:o}\n".encode())
        digest.update(source.read_bytes())
    for package in packages:
        digest.update(f"{package.file} {package.sha256}\n".encode())
    return digest.hexdigest()[:16]


def cached(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return the path of an image in `cache`, made now unless it is there."""
    cache.mkdir(parents=True, exist_ok=True)
    image = cache / f"{name}.qcow2"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            unfinished = image.with_suffix(".unfinished")
            make(unfinished)
            unfinished.replace(image)
    return image


def guest_image(cache: Path = DEFAULT_CACHE) -> Path:
    """Return the path of the guest's disk, built now unless `cache` has the same one already."""
    packages = resolve_packages(read_list(GUEST / "packages.txt"))
    name = f"guest-{build_key(packages)}"
    return cached(cache, name, lambda output: build(packages, cache / "packages", output))


def main() -> None:
    """Build or find the image and print its path."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    arguments = parser.parse_args()
    install_packages()
    print(guest_image(arguments.cache))


if __name__ == "__main__":
    main()
