"""The commands that every guest knows, in the words of util-linux and coreutils."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cloudkit_fake.console import boot_log, hostname
from cloudkit_fake.guests.answers import Answer, Call
from cloudkit_fake.guests.files import absolute

GIB = 1 << 30
SECTOR = 512
OS_RELEASE = 'NAME="Fake Linux"\nID=fake\nVERSION_ID="1"\nPRETTY_NAME="Fake Linux 1"\n'


def _disks(call: Call) -> Iterator[tuple[str, int, str]]:
    """(device, size in bytes, serial number) of each disk."""
    yield "/dev/vda", call.guest.disk_bytes, ""
    for volume in call.guest.volumes:
        attachment = volume.attachments[0]
        if attachment.device_hint != "/dev/vda":
            yield attachment.device_hint, volume.size_gib * GIB, attachment.serial


def _size(count: int) -> str:
    for unit, name in ((GIB, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + name
    return str(count)


def _lsblk(call: Call) -> Answer:
    columns = ["NAME", "MAJ:MIN", "RM", "SIZE", "RO", "TYPE", "MOUNTPOINTS"]
    flags = "".join(word[1:] for word in call.arguments[1:] if word.startswith("-") and not word.startswith("--"))
    named = next((word for word in call.arguments[1:] if not word.startswith("-") and not word.startswith("/")), None)
    if "o" in flags and named:
        columns = named.upper().split(",")
    rows: list[list[str]] = [] if "n" in flags else [columns]
    for number, (device, size, serial) in enumerate(_disks(call)):
        facts = {
            "NAME": device.removeprefix("/dev/"),
            "PATH": device,
            "MAJ:MIN": f"254:{number * 16}",
            "RM": "0",
            "SIZE": str(size) if "b" in flags else _size(size),
            "RO": "0",
            "TYPE": "disk",
            "SERIAL": serial,
        }
        rows.append([facts.get(column, "") for column in columns])
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))] if rows else []
    return Answer("".join(f"{' '.join(map(str.ljust, row, widths)).rstrip()}\n" for row in rows))


def _fdisk(call: Call) -> Answer:
    if "-l" not in call.arguments:
        return Answer(stderr="fdisk: only -l is known here\n", exit_status=1)
    wanted = [word for word in call.arguments[1:] if word.startswith("/")]
    if call.user != "root":
        err = "".join(f"fdisk: cannot open {device}: Permission denied\n" for device in wanted)
        return Answer(stderr=err, exit_status=1)
    known = {device: size for device, size, _ in _disks(call)}
    out, err = "", ""
    for device in wanted or known:
        if device not in known:
            err += f"fdisk: cannot open {device}: No such file or directory\n"
            continue
        size = known[device]
        gib = f"{size / GIB:.2f}".rstrip("0").rstrip(".")
        out += (
            f"Disk {device}: {gib} GiB, {size} bytes, {size // SECTOR} sectors\n"
            f"Units: sectors of 1 * {SECTOR} = {SECTOR} bytes\n"
            f"Sector size (logical/physical): {SECTOR} bytes / {SECTOR} bytes\n"
            f"I/O size (minimum/optimal): {SECTOR} bytes / {SECTOR} bytes\n"
        )
    return Answer(out, err, 1 if err else 0)


def _cat(call: Call) -> Answer:
    if len(call.arguments) == 1:
        return Answer(call.read_stdin().decode("utf-8", "replace"))
    out, err = "", ""
    for path in call.arguments[1:]:
        try:
            out += _read(call, path)
        except FileNotFoundError:
            err += f"cat: {path}: No such file or directory\n"
    return Answer(out, err, 1 if err else 0)


def _read(call: Call, path: str) -> str:
    place = absolute(path, call.user)
    if place == "/etc/os-release":
        return OS_RELEASE
    if place == "/etc/hostname":
        return f"{hostname(call.guest.server)}\n"
    if place == "/proc/partitions":
        rows = (
            f" 254 {number * 16:8} {size // 1024:10} {device.removeprefix('/dev/')}\n"
            for number, (device, size, _) in enumerate(_disks(call))
        )
        return f"major minor  #blocks  name\n\n{''.join(rows)}"
    return call.guest.files.read(place).decode("utf-8", "replace")


def _id(call: Call) -> Answer:
    number = 0 if call.user == "root" else 1000
    return Answer(f"uid={number}({call.user}) gid={number}({call.user}) groups={number}({call.user})\n")


def _ip(call: Call) -> Answer:
    lines = ["1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536", "    inet 127.0.0.1/8 scope host lo"]
    fixed = [address for address in call.guest.server.addresses if not address.floating]
    for number, mac in enumerate(dict.fromkeys(address.mac for address in fixed), 2):
        lines += [
            f"{number}: eth{number - 2}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500",
            f"    link/ether {mac}",
        ]
        lines += (
            f"    {'inet' if address.version == 4 else 'inet6'} {address.ip} scope global eth{number - 2}"
            for address in fixed
            if address.mac == mac
        )
    return Answer("\n".join(lines) + "\n")


def _test(call: Call) -> Answer:
    words = call.arguments[1:-1] if call.arguments[0] == "[" else call.arguments[1:]
    negated = words[:1] == ("!",)
    words = words[1:] if negated else words
    flag, path = words if len(words) == 2 else ("", "")
    found = (flag in ("-e", "-f", "-r") and _is_file(call, path)) or (flag in ("-e", "-b") and _is_disk(call, path))
    return Answer(exit_status=int(found == negated))


def _is_file(call: Call, path: str) -> bool:
    try:
        _read(call, path)
    except FileNotFoundError:
        return False
    return True


def _is_disk(call: Call, path: str) -> bool:
    return any(device == path for device, _, _ in _disks(call))


def _ls(call: Call) -> Answer:
    folder = next((word for word in call.arguments[1:] if not word.startswith("-")), ".")
    return Answer("".join(f"{name}\n" for name in call.guest.files.names(folder, call.user)))


def _rm(call: Call) -> Answer:
    err = ""
    for path in (word for word in call.arguments[1:] if not word.startswith("-")):
        try:
            call.guest.files.remove(path, call.user)
        except FileNotFoundError:
            if "-f" not in call.arguments:
                err += f"rm: cannot remove '{path}': No such file or directory\n"
    return Answer(stderr=err, exit_status=1 if err else 0)


def _dmesg(call: Call) -> Answer:
    return Answer(f"{boot_log(call.guest.server, {})}\n")


def _echo(call: Call) -> Answer:
    words = call.arguments[1:]
    return Answer(" ".join(words[1:]) if words[:1] == ("-n",) else f"{' '.join(words)}\n")


COMMANDS: Mapping[str, Callable[[Call], Answer]] = {
    "[": _test,
    "cat": _cat,
    "dmesg": _dmesg,
    "echo": _echo,
    "false": lambda _: Answer(exit_status=1),
    "fdisk": _fdisk,
    "hostname": lambda call: Answer(f"{hostname(call.guest.server)}\n"),
    "id": _id,
    "ip": _ip,
    "ls": _ls,
    "lsblk": _lsblk,
    "mkdir": lambda _: Answer(),
    "pwd": lambda call: Answer(f"{absolute('.', call.user)}\n"),
    "rm": _rm,
    "sync": lambda _: Answer(),
    "test": _test,
    "true": lambda _: Answer(),
    "uname": lambda call: Answer("Linux fake 6.1.0 x86_64 GNU/Linux\n" if "-a" in call.arguments else "Linux\n"),
    "uptime": lambda _: Answer(" 00:00:05 up 0 min,  1 user,  load average: 0.00, 0.00, 0.00\n"),
    "whoami": lambda call: Answer(f"{call.user}\n"),
}
