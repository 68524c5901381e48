"""An SSH server on loopback that does what a test says; it runs commands by ``sh`` and serves the local files."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import paramiko
from local_sftp import LocalSftp

from cloudkit.ssh.paramiko_module import close_transport, new_transport
from cloudkit.types import Endpoint

SERVER_LOG = "test.ssh.server"


class SshServer:
    """Listens until it is closed.

    Attributes:
        script: what happens to the next connections instead of SSH; each step gets the socket.
        refuse: how many logins are refused before a known key is let in.
        known: public keys that are let in.
        methods: what the server says it takes to log in.
        more: whether a known key alone is not enough.
        answers: by command line, what answers it instead of sh, given the channel.
        close_early: how many of the next channels are closed before the first request on them is answered.
        accept_exec: whether commands are taken at all; called with the line.
        logins: users and results of the logins so far.
        seen: the command lines that came.
        ciphers: what it offers instead of what everybody does.
        accepted, forwarded: how many connections came, and where to some went on.
        on_read, on_write: called before a piece of a file is read or written; what OSError they raise is told.
    """

    def __init__(self, *host_keys: Any, known: tuple[Any, ...] = (), port: int = 0, sftp: bool = True) -> None:
        self.host_keys = host_keys
        self.known = {key.asbytes() for key in known}
        self.sftp = sftp
        self.script: list[Callable[[socket.socket], None]] = []
        self.refuse = 0
        self.methods = "publickey"
        self.more = False
        self.answers: dict[str, Callable[[Any], None]] = {}
        self.accept_exec: Callable[[str], bool] = lambda line: True
        self.max_sessions = 10
        self.close_early = 0
        self.ciphers: tuple[str, ...] = ()
        self.logins: list[tuple[str, str]] = []
        self.seen: list[str] = []
        self.forwarded: list[tuple[str, int]] = []
        self.accepted = 0
        self.on_write: Callable[[], None] = lambda: None
        self.on_read: Callable[[], None] = lambda: None
        self.transports: list[Any] = []
        self._sockets: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True, name="test-ssh-accept")
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self.port)

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
        self._thread.join(2)
        self.hang_up()
        for sock in self._sockets:
            sock.close()

    def hang_up(self) -> None:
        """End all connections without a word; safe from any thread, the connections' own too."""
        for transport in list(self.transports):
            if threading.current_thread() is transport:
                transport.close()
                transport.sock.close()
            else:
                close_transport(transport)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.accepted += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(sock)
            if self.script:
                self.script.pop(0)(sock)
            else:
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        transport = new_transport(sock, SERVER_LOG)
        self.transports.append(transport)
        for key in self.host_keys:
            transport.add_server_key(key)
        if self.sftp:
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, LocalSftp, test_server=self)
        if self.ciphers:
            transport._preferred_ciphers = self.ciphers
        transport.start_server(event=threading.Event(), server=_Interface(self, transport))


class _Interface(paramiko.ServerInterface):
    def __init__(self, server: SshServer, transport: Any) -> None:
        self._server = server
        self._transport = transport
        self._sessions = 0
        self._closers: dict[int, threading.Thread] = {}

    def get_allowed_auths(self, username: str) -> str:
        return self._server.methods

    def check_auth_publickey(self, username: str, key: Any) -> int:
        server = self._server
        result, code = "in", paramiko.AUTH_SUCCESSFUL
        if "publickey" not in server.methods or key.asbytes() not in server.known or server.refuse:
            server.refuse = max(0, server.refuse - 1)
            result, code = "refused", paramiko.AUTH_FAILED
        elif server.more:
            result, code = "more", paramiko.AUTH_PARTIALLY_SUCCESSFUL
        server.logins.append((username, result))
        return code

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._sessions += 1
        if self._sessions > self._server.max_sessions:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        if self._server.close_early:
            self._server.close_early -= 1
            closer = self._closers[chanid] = threading.Thread(target=self._close_next, daemon=True)
            closer.start()
        return paramiko.OPEN_SUCCEEDED

    def _close_next(self) -> None:
        channel = self._transport.accept(5)
        if channel is not None:
            channel.close()

    def check_channel_direct_tcpip_request(self, chanid: int, origin: Any, destination: Any) -> int:
        try:
            sock = socket.create_connection(destination)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        self._server.forwarded.append(destination)
        threading.Thread(target=self._forward, args=(sock,), daemon=True).start()
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        if closer := self._closers.get(channel.get_id()):
            closer.join()
            return False
        line = command.decode()
        self._server.seen.append(line)
        if not self._server.accept_exec(line):
            return False
        answer = self._server.answers.get(line, lambda channel: run_by_sh(channel, line))
        threading.Thread(target=_quietly, args=(answer, channel), daemon=True).start()
        return True

    def _forward(self, sock: socket.socket) -> None:
        channel = self._transport.accept(5)
        if channel is None:  # the connection has ended
            sock.close()
            return
        threading.Thread(target=_quietly, args=(_pump, sock.recv, channel), daemon=True).start()
        _quietly(_pump, channel.recv, sock)
        sock.close()


def _quietly(action: Callable[..., None], *arguments: Any) -> None:
    try:
        action(*arguments)
    except (OSError, EOFError):
        pass


def _pump(receive: Callable[[int], bytes], target: Any) -> None:
    try:
        while data := receive(1 << 16):
            target.sendall(data)
    finally:
        with suppress(OSError, EOFError):
            # Wakes whoever reads from it, which closing does not.
            target.shutdown(socket.SHUT_RDWR)
        target.close()


def read_all(channel: Any) -> bytes:
    """Its input, to the end; a client that has sent that knows that the command was taken."""
    return b"".join(iter(lambda: channel.recv(1 << 16), b""))


def finish(channel: Any, status: int | None = 0) -> None:
    """End a command; without a status as a signal does."""
    if status is None:
        message = paramiko.Message()
        message.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string("exit-signal")
        message.add_boolean(False)
        message.add_string("KILL")
        message.add_boolean(False)
        message.add_string("")
        message.add_string("")
        channel.transport._send_user_message(message)
    else:
        channel.send_exit_status(status)
    channel.shutdown_write()
    channel.close()


def run_by_sh(channel: Any, line: str) -> None:
    data = read_all(channel)
    done = subprocess.run(["sh", "-c", line], input=data, capture_output=True, cwd=os.environ["HOME"], check=False)
    channel.sendall(done.stdout)
    channel.sendall_stderr(done.stderr)
    finish(channel, done.returncode)
