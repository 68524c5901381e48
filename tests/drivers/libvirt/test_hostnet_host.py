"""Commands for the host's network: with sudo, and through a login that is a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkit.errors import CloudError
from cloudkit_libvirt.hostnet.host import Host
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
