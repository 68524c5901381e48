"""Commands for the host's network: with sudo, and through a login that is a shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkit.errors import CloudError
from cloudkit_libvirt.hostnet import host as hosts
from cloudkit_libvirt.hostnet.host import Host, find_host
from cloudkit_libvirt.hostnet.switch import find_switch
from cloudkit_libvirt.ssh_transport import ssh_arguments

# As sshd hands it to the login's shell.
SHELL = ["sh", "-c", 'exec sh -c "$1"', "ssh"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")), max_size=4))
def test_arguments_arrive_as_they_are(words: list[str]) -> None:
    assert Host((), SHELL).run(["printf", "%s\\0", "", *words]) == "\0".join(["", *words, ""])


def test_no_argument_is_run(tmp_path: Path) -> None:
    for text in (
        f"$(touch {tmp_path}/x)",
        f"'; touch {tmp_path}/x; '",
        f"`touch {tmp_path}/x`",
        f"\n touch {tmp_path}/x",
    ):
        assert Host((), SHELL).run(["printf", "%s", text]) == text
    assert not list(tmp_path.iterdir())


def test_input_and_rights_are_passed_on() -> None:
    assert Host(("env", "A=b c"), SHELL).run(["sh", "-c", "cat; echo $A"], input="$x\n") == "$x\nb c\n"


def test_a_failure_tells_why() -> None:
    with pytest.raises(CloudError) as raised:
        Host((), SHELL).run(["sh", "-c", "echo no >&2; exit 3"])
    assert raised.value.fault == "no"


def test_the_login_is_libvirts() -> None:
    assert ssh_arguments("qemu+ssh://a%40b@h:22/system?command=/c&keyfile=/k&no_verify=1") == [
        "/c", "-T", "-e", "none", "-p", "22", "-l", "a@b", "-i", "/k", "-o", "StrictHostKeyChecking=no", "--", "h",
    ]  # fmt: skip


def run_but(refused: str) -> Callable[[Host, Sequence[str]], str]:
    """A host's way to run commands, which knows all programs but one."""

    def run(_host: Host, argv: Sequence[str]) -> str:
        if refused in argv:
            raise CloudError("no")
        return ""

    return run


@pytest.mark.parametrize("refused", ["ls", "nft", "ip"])
def test_a_host_is_one_where_all_is_there(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    here: Any = SimpleNamespace(host=None, uri="qemu:///system")
    monkeypatch.setattr(hosts.Host, "run", run_but(refused))
    assert find_host(here) is None
    monkeypatch.setattr(hosts.Host, "run", run_but("nothing"))
    assert find_host(here) is not None


def test_sudo_is_for_what_needs_rights_only(monkeypatch: pytest.MonkeyPatch) -> None:
    here: Any = SimpleNamespace(host=None, uri="qemu:///system")
    ran: list[list[str]] = []

    def run(self: Host, argv: Sequence[str]) -> str:
        ran.append([*self._rights, *argv])
        if argv[0] == "nft" and not self._rights:
            raise CloudError("not permitted")
        return ""

    monkeypatch.setattr(hosts.Host, "run", run)
    assert find_host(here) is not None
    assert [words[:3] for words in ran if words[0] == "sudo"] == [["sudo", "-n", "nft"], ["sudo", "-n", "ip"]]
    assert ran[0][0] == "ls"


def test_looking_for_the_kernels_switch_takes_no_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(self: Host, argv: Sequence[str]) -> str:
        ran.append([*self._rights, *argv])
        return ""

    monkeypatch.setattr(hosts.Host, "run", run)
    switch = find_switch(Host(("sudo", "-n")), "cloudkit", "cloud")
    assert switch is not None
    assert switch.in_kernel
    assert [words[0] for words in ran] == ["sudo", "ls"]
