from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ssh_server import SshServer, finish, read_all

from cloudkit.errors import Closed, CommandFailed, InvalidRequest, SshError, Unavailable, WaitTimeout
from cloudkit.ssh import Shell


def test_a_command_gives_its_status_and_both_outputs(shell: Shell) -> None:
    result = shell.run("echo out; echo err >&2; exit 3")
    assert (result.exit_status, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert result.command == "echo out; echo err >&2; exit 3"
    assert 0 < result.duration_s < 5


def test_a_list_of_arguments_is_quoted(shell: Shell) -> None:
    assert shell.run(["printf", "%s|", "a b", "$HOME", "'"]).stdout == "a b|$HOME|'|"


@pytest.mark.parametrize("given", ["grüße\n", "grüße\n".encode()])
def test_input_is_what_the_command_reads(shell: Shell, given: str | bytes) -> None:
    assert shell.run("cat", input=given).stdout == "grüße\n"


def test_without_input_stdin_is_empty(shell: Shell) -> None:
    assert shell.run("cat").stdout == ""
    assert shell.run("cat", input="").stdout == ""


def test_output_that_is_not_utf8_is_marked(shell: Shell) -> None:
    assert shell.run(r"printf 'a\377b'").stdout == "a�b"


@pytest.mark.parametrize(
    ("user", "command", "line"),
    [
        ("cirros", "id; ls", "sudo -n sh -c 'id; ls'"),
        ("cirros", ["ls", "a b"], "sudo -n ls 'a b'"),
        ("root", "id; ls", "id; ls"),
    ],
)
def test_sudo_runs_the_whole_line_as_root(
    ssh_server: SshServer, open_to: Callable[..., Shell], user: str, command: Any, line: str
) -> None:
    ssh_server.answers[line] = lambda channel: (read_all(channel), finish(channel))[1]
    with open_to(ssh_server, user=user) as shell:
        assert shell.run(command, sudo=True).exit_status == 0
    assert ssh_server.seen == [line]


@pytest.mark.parametrize("command", ["", "  ", [], "echo \0"])
def test_an_empty_command_is_refused_before_anything_is_sent(
    shell: Shell, ssh_server: SshServer, command: Any
) -> None:
    with pytest.raises(InvalidRequest, match="empty, or holds a NUL"):
        shell.run(command)
    assert not ssh_server.seen


def test_check_raises_what_the_command_printed(shell: Shell) -> None:
    with pytest.raises(CommandFailed, match=r"exit status 4: echo out; echo no disk >&2; exit 4") as caught:
        shell.run("echo out; echo no disk >&2; exit 4", check=True)
    error = caught.value
    assert (error.exit_status, error.stdout, error.stderr, error.fault) == (4, "out\n", "no disk\n", "no disk")
    assert error.resource == shell.server


def test_check_lets_success_pass(shell: Shell) -> None:
    assert shell.run("true", check=True).exit_status == 0


def test_a_signal_gives_status_minus_one(shell: Shell, ssh_server: SshServer) -> None:
    ssh_server.answers["die"] = lambda channel: (read_all(channel), finish(channel, None))[1]
    assert shell.run("die").exit_status == -1
    with pytest.raises(CommandFailed) as caught:
        shell.run("die", check=True)
    assert caught.value.exit_status == -1


def test_much_output_on_both_streams_and_much_input_at_once_do_not_block_each_other(
    shell: Shell, ssh_server: SshServer
) -> None:
    size = 6 << 20  # more than the window of a channel, each

    def flood(channel: Any) -> None:
        errors = threading.Thread(target=channel.sendall_stderr, args=(b"e" * size,))
        errors.start()
        channel.sendall(b"o" * size)
        errors.join()
        finish(channel, 0 if len(read_all(channel)) == size else 1)

    ssh_server.answers["flood"] = flood
    result = shell.run("flood", input=b"i" * size, timeout_s=30)
    assert (result.exit_status, len(result.stdout), len(result.stderr)) == (0, size, size)


def test_news_of_one_stream_are_not_lost_while_the_other_is_read(shell: Shell, ssh_server: SshServer) -> None:
    def alternate(channel: Any) -> None:
        for _ in range(200):
            channel.sendall(b"o")
            channel.sendall_stderr(b"e")
        read_all(channel)
        finish(channel)

    ssh_server.answers["alternate"] = alternate
    result = shell.run("alternate", timeout_s=10)
    assert (result.stdout, result.stderr) == ("o" * 200, "e" * 200)


def test_a_command_that_does_not_read_its_input_ends_all_the_same(shell: Shell, ssh_server: SshServer) -> None:
    ssh_server.answers["deaf"] = lambda channel: (channel.recv(1), finish(channel, 7))[1]
    assert shell.run("deaf", input=b"x" * (8 << 20), timeout_s=10).exit_status == 7


def test_a_command_that_takes_too_long_is_a_timeout_that_tells_what_was_printed(
    shell: Shell, ssh_server: SshServer
) -> None:
    end = threading.Event()

    def slow(channel: Any) -> None:
        channel.sendall(b"half\n")
        channel.sendall_stderr(b"slow disk\n")
        end.wait(10)

    ssh_server.answers["slow"] = slow
    with pytest.raises(WaitTimeout, match="has not ended within 0.2 s: slow") as caught:
        shell.run("slow", timeout_s=0.2)
    end.set()
    assert caught.value.fault == "stdout so far: half; stderr so far: slow disk"
    assert shell.run("echo still here").stdout == "still here\n"


def test_a_timeout_without_output_says_so(shell: Shell, ssh_server: SshServer) -> None:
    end = threading.Event()
    # paramiko closes a channel that nobody holds.
    ssh_server.answers["mute"] = lambda channel: (end.wait(10), channel)[0]
    with pytest.raises(WaitTimeout) as caught:
        shell.run("mute", timeout_s=0.05)
    end.set()
    assert caught.value.fault == "it has printed nothing"


def test_a_server_that_does_not_answer_the_request_is_a_timeout(shell: Shell, ssh_server: SshServer) -> None:
    go_on = threading.Event()
    ssh_server.accept_exec = lambda line: go_on.wait(10)
    with pytest.raises(WaitTimeout, match=r"has not ended within 0\.1 s"):
        shell.run("true", timeout_s=0.1)
    go_on.set()


def test_a_connection_that_breaks_in_the_middle_is_unavailable(shell: Shell, ssh_server: SshServer) -> None:
    def vanish(channel: Any) -> None:
        channel.sendall(b"half")
        ssh_server.hang_up()

    ssh_server.answers["vanish"] = vanish
    with pytest.raises(Unavailable, match="the connection to web broke") as caught:
        shell.run("vanish")
    assert "not known" in caught.value.hint
    with pytest.raises(Unavailable):
        shell.run("true")


def test_a_server_that_refuses_a_command_is_not_a_broken_connection(shell: Shell, ssh_server: SshServer) -> None:
    ssh_server.accept_exec = lambda line: line != "forbidden"
    with pytest.raises(SshError, match="web does not run commands for 'cirros'"):
        shell.run("forbidden")
    assert shell.run("echo fine").stdout == "fine\n"


@pytest.mark.parametrize("often", [1, 2])
def test_a_channel_that_is_closed_at_once_is_opened_again(shell: Shell, ssh_server: SshServer, often: int) -> None:
    ssh_server.max_sessions = 1000
    for _ in range(20):  # what the client sees of it is a matter of time: before its request, or instead of an answer
        ssh_server.close_early = often
        assert shell.run("cat", input="once").stdout == "once"
    assert ssh_server.seen == ["cat"] * 20


def test_a_server_that_closes_every_channel_is_told(shell: Shell, ssh_server: SshServer) -> None:
    ssh_server.close_early = 100
    with pytest.raises(SshError, match="web does not run commands for 'cirros'"):
        shell.run("true")


def test_one_channel_too_many_says_what_to_do(shell: Shell, ssh_server: SshServer) -> None:
    ssh_server.max_sessions = 0
    with pytest.raises(SshError, match="refuses one more channel") as caught:
        shell.run("true")
    assert "second shell" in caught.value.hint


def test_threads_share_a_shell(shell: Shell) -> None:
    results: dict[int, str] = {}

    def work(number: int) -> None:
        results[number] = shell.run(f"echo {number}").stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == {number: f"{number}\n" for number in range(6)}


def test_a_closed_shell_says_so_and_closes_once(shell: Shell) -> None:
    assert "cirros@web 127.0.0.1:" in repr(shell)
    shell.close()
    shell.close()
    assert repr(shell) == "<Shell cirros@web closed>"
    with pytest.raises(Closed, match="the shell into web is closed"):
        shell.run("true")


def test_closing_leaves_no_thread(ssh_server: SshServer, open_to: Callable[..., Shell]) -> None:
    before = set(threading.enumerate())
    with open_to(ssh_server) as shell:
        shell.run("cat", input="x")
    ssh_server.hang_up()
    assert {thread for thread in threading.enumerate() if thread.is_alive()} - before == set()


def test_no_secret_is_logged_at_debug(
    ssh_server: SshServer, open_to: Callable[..., Shell], user_key: Any, home: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = home / "secret"
    path.write_text("s3cret-in-file")
    with open_to(ssh_server) as shell:
        shell.run("echo s3cret-in-command", input="s3cret-in-input")
        shell.put(path, "copy")
        shell.get("copy", home / "back")
    ours = [record for record in caplog.records if not record.name.startswith("test.")]
    assert any("logged in" in record.getMessage() for record in ours)
    assert any("a command ended with status 0" in record.getMessage() for record in ours)
    assert "s3cret" not in "\n".join(record.getMessage() for record in ours)
    assert {record.levelno for record in ours if record.name.startswith("cloudkit.ssh")} == {logging.DEBUG}
