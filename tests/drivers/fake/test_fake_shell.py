"""The shell of a guest and its commands, without SSH around them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudkit import Cloud, Image, Network, Server
from cloudkit.testing import Answer, Call
from cloudkit_fake.guests import Guest
from cloudkit_fake.guests.commands import _size
from cloudkit_fake.guests.shell import run_line


@pytest.fixture
def guest(cloud: Cloud, server: Server) -> Guest:
    guest: Guest = cloud.native.guests.guest(server.id)
    guest.files.write("/etc/motd", b"hello\n")
    return guest


def run(guest: Guest, line: str, user: str = "cirros", stdin: bytes = b"") -> Answer:
    return run_line(guest, line, user, lambda: stdin)


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("echo a b", "a b\n"),
        ("echo -n a", "a"),
        ("echo 'a;  b' \"c\"", "a;  b c\n"),
        ("echo a#b", "a#b\n"),
        ("echo a; echo b", "a\nb\n"),
        ("echo a\necho b\n\n", "a\nb\n"),
        ("echo a;\n\necho b", "a\nb\n"),
        ("true && echo a", "a\n"),
        ("true &&\necho a", "a\n"),
        ("false && echo a || echo b", "b\n"),
        ("true || echo a", ""),
        ("echo a | cat", "a\n"),
        ("echo a |\ncat | cat", "a\n"),
        ("sh -c 'echo a && echo b'", "a\nb\n"),
        ("bash -c 'whoami'", "cirros\n"),
        ("sudo whoami", "root\n"),
        ("sudo -n -E sh -c whoami", "root\n"),
        ("sudo -u db whoami", "db\n"),
        ("/usr/bin/whoami", "cirros\n"),
        ("hostname", "web\n"),
        ("cat /etc/hostname", "web\n"),
        ("cat /etc/motd /etc/motd", "hello\nhello\n"),
        ("cat", "typed"),
        ("id", "uid=1000(cirros) gid=1000(cirros) groups=1000(cirros)\n"),
        ("sudo id", "uid=0(root) gid=0(root) groups=0(root)\n"),
        ("pwd", "/home/cirros\n"),
        ("sudo pwd", "/root\n"),
        ("uname", "Linux\n"),
        ("uname -a", "Linux fake 6.1.0 x86_64 GNU/Linux\n"),
        ("mkdir -p a/b; sync", ""),
        ("ls /etc", "motd\n"),
        ("", ""),
        (" ; ", ""),
    ],
)
def test_a_line_prints(guest: Guest, line: str, out: str) -> None:
    assert run(guest, line, stdin=b"typed") == Answer(out)


@pytest.mark.parametrize(
    ("line", "status", "err"),
    [
        ("false", 1, ""),
        ("exit-the-building now", 127, "sh: 1: exit-the-building: not found\n"),
        ("echo 'a", 2, "sh: syntax error: No closing quotation\n"),
        ("cat /nowhere", 1, "cat: /nowhere: No such file or directory\n"),
        ("cat /nowhere 2>/dev/null", 1, ""),
        ("rm /nowhere", 1, "rm: cannot remove '/nowhere': No such file or directory\n"),
        ("rm -f /nowhere", 0, ""),
        ("fdisk /dev/vda", 1, "fdisk: only -l is known here\n"),
        ("fdisk -l /dev/vda", 1, "fdisk: cannot open /dev/vda: Permission denied\n"),
        ("sudo fdisk -l /dev/vdz", 1, "fdisk: cannot open /dev/vdz: No such file or directory\n"),
        ("test -e /etc/motd", 0, ""),
        ("test -f /etc/none", 1, ""),
        ("test ! -f /etc/none", 0, ""),
        ("[ -r /etc/os-release ]", 0, ""),
        ("[ -b /dev/vda ]", 0, ""),
        ("[ -f /dev/vda ]", 1, ""),
        ("[ -e /dev/vda ]", 0, ""),
        ("[ -e /dev/vdb ]", 1, ""),
        ("test", 1, ""),
    ],
)
def test_a_line_ends_with(guest: Guest, line: str, status: int, err: str) -> None:
    assert run(guest, line) == Answer("", err, status)


def test_redirections_go_to_files(guest: Guest) -> None:
    run(guest, "echo a > note; echo b >> note; echo c >> new; echo d > /dev/null")
    assert guest.files.read("note", "cirros") == b"a\nb\n"
    assert guest.files.read("/home/cirros/new") == b"c\n"
    assert run(guest, "ls").stdout == "new\nnote\n"
    assert run(guest, "rm note; ls").stdout == "new\n"


def test_errors_join_the_output_if_told(guest: Guest) -> None:
    assert run(guest, "cat /nowhere 2>&1 | cat").stdout == "cat: /nowhere: No such file or directory\n"
    assert run(guest, "echo a 1>&2; echo b >&2") == Answer("", "a\nb\n")


def test_other_commands_look_as_on_a_system(guest: Guest) -> None:
    assert "PRETTY_NAME" in run(guest, "cat /etc/os-release").stdout
    assert "Hostname set to <web>" in run(guest, "dmesg").stdout
    assert "load average" in run(guest, "uptime").stdout
    assert "127.0.0.1/8" in run(guest, "ip addr").stdout


def test_ip_shows_the_servers_addresses(cloud: Cloud, image: Image, network: Network) -> None:
    cloud.subnets.create("v6", network=network, cidr="2001:db8::/64")
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[network])
    out = run(cloud.native.guests.guest(server.id), "ip addr").stdout
    four, six = server.addresses
    assert (four.ip, four.version, six.version) == ("172.16.1.2", 4, 6)
    assert f"    link/ether {four.mac}\n    inet {four.ip} scope global eth0\n    inet6 {six.ip} scope" in out
    assert "eth1" not in out


def test_a_volume_shows_as_a_disk(cloud: Cloud, guest: Guest) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    cloud.volumes.attach(volume, guest.server)
    assert "Disk /dev/vdb: 1 GiB, 1073741824 bytes, 2097152 sectors" in run(guest, "sudo fdisk -l /dev/vdb").stdout
    assert run(guest, "sudo fdisk -l").stdout.count("Disk /dev/") == 2
    assert run(guest, "lsblk -dno NAME,SERIAL").stdout == f"vda\nvdb {volume.id[:20]}\n"
    assert run(guest, "lsblk -bno SIZE").stdout == "1073741824\n1073741824\n"
    table = run(guest, "lsblk").stdout.splitlines()
    assert table[0].split() == ["NAME", "MAJ:MIN", "RM", "SIZE", "RO", "TYPE", "MOUNTPOINTS"]
    assert table[2].split() == ["vdb", "254:16", "0", "1G", "0", "disk"]
    assert "vdb" in run(guest, "cat /proc/partitions").stdout


def test_a_root_volume_shows_once(cloud: Cloud, image: Image) -> None:
    volume = cloud.volumes.create("root", size_gib=2, image=image)
    server = cloud.servers.create("web", boot_volume=volume, flavor="m1.tiny", networks="none")
    assert run(cloud.native.guests.guest(server.id), "lsblk -dno NAME,SIZE").stdout == "vda 2G\n"


@pytest.mark.parametrize(("size", "shown"), [(100, "100"), (2048, "2K"), (3 << 19, "1.5M"), (5 << 30, "5G")])
def test_sizes_are_shown_as_lsblk_does(size: int, shown: str) -> None:
    assert _size(size) == shown


def test_answers_of_ones_own_come_first_and_the_last_rule_counts(cloud: Cloud, guest: Guest) -> None:
    guests = cloud.native.guests
    guests.on("nginx -v", Answer(stderr="nginx version: nginx/1.0\n"))
    guests.on("systemctl * nginx", "active\n")
    guests.on("systemctl stop *", Answer(exit_status=5))
    assert run(guest, "nginx -v").stderr == "nginx version: nginx/1.0\n"
    assert run(guest, "systemctl is-active nginx").stdout == "active\n"
    assert run(guest, "systemctl stop nginx").exit_status == 5
    guests.on("hostname", "mine\n")
    assert run(guest, "hostname && echo yes").stdout == "mine\nyes\n"


def test_an_answer_can_be_computed_from_the_call(cloud: Cloud, guest: Guest) -> None:
    calls: list[Call] = []

    def answer(call: Call) -> str:
        calls.append(call)
        call.guest.files.write("/run/seen", call.read_stdin())
        return f"{call.user}:{call.guest.server.name}\n"

    cloud.native.guests.on("mkfs *", answer)
    assert run(guest, "sudo mkfs -t ext4 '/dev/v db'", stdin=b"y").stdout == "root:web\n"
    assert calls[0].arguments == ("mkfs", "-t", "ext4", "/dev/v db")
    assert guest.files.read("/run/seen") == b"y"


def test_a_whole_line_can_be_answered(cloud: Cloud, guest: Guest) -> None:
    cloud.native.guests.on("cd /srv && make", "made\n")
    assert run(guest, "cd /srv && make").stdout == "made\n"


def test_files_are_renamed_and_miss(guest: Guest) -> None:
    files: Any = guest.files
    files.rename("/etc/motd", "/etc/issue")
    assert files.names("/etc") == ["issue"]
    for act in (lambda: files.rename("/none", "/x"), lambda: files.remove("/none"), lambda: files.read("/none")):
        with pytest.raises(FileNotFoundError):
            act()
