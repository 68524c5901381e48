"""An SSH server on loopback for one guest, by paramiko."""

from __future__ import annotations

import io
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloudkit._keys import parse_public_key
from cloudkit.ssh.paramiko_module import close_transport, load_paramiko, new_transport
from cloudkit_fake.guests.sftp import sftp_interface
from cloudkit_fake.guests.shell import run_line

if TYPE_CHECKING:
    from cloudkit_fake.guests import Guest

LOG_CHANNEL = "cloudkit.fake.ssh"
_PIECE = 1 << 16


class Listener:
    """Listens until it is closed; lets in whoever has the key that the server was created with."""

    def __init__(self, guest: Guest, host_key: str, public_key: str | None) -> None:
        paramiko = load_paramiko()
        self._guest = guest
        self._host_key = paramiko.Ed25519Key(file_obj=io.StringIO(host_key))
        self._accepted = None if public_key is None else parse_public_key(public_key).blob
        self._transports: list[Any] = []
        self._lock = threading.Lock()
        self._closed = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"cloudkit-fake-guest-{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end all connections."""
        with self._lock:
            self._closed = True
            transports, self._transports = self._transports, []
        with suppress(OSError):
            # Wakes the thread out of accept, which closing does not on Linux.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(2)
        for transport in transports:
            close_transport(transport)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        paramiko = load_paramiko()
        transport = new_transport(connection, LOG_CHANNEL)
        with self._lock:
            self._transports = [each for each in self._transports if each.is_active()]
            if self._closed:
                connection.close()
                return
            self._transports.append(transport)
        transport.add_server_key(self._host_key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, sftp_interface(), guest=self._guest)
        interface = _interface(self._guest, self._accepted)
        _run_after_replies(transport, interface)
        try:
            # With an event it does not wait: a client that stays silent must not keep others out.
            transport.start_server(event=threading.Event(), server=interface)
        except (paramiko.SSHException, EOFError, OSError):
            close_transport(transport)


def _interface(guest: Guest, accepted: bytes | None) -> Any:
    """Paramiko's view of what clients may do; its base class is there only when paramiko is loaded."""
    paramiko = load_paramiko()

    class Interface(paramiko.ServerInterface):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.user = ""
            self.commands: list[threading.Thread] = []

        def get_allowed_auths(self, username: str) -> str:
            del username
            return "publickey"

        def check_auth_publickey(self, username: str, key: Any) -> int:
            if accepted is None or key.asbytes() != accepted:
                return int(paramiko.AUTH_FAILED)
            self.user = username
            return int(paramiko.AUTH_SUCCESSFUL)

        def check_channel_request(self, kind: str, chanid: int) -> int:
            del chanid
            ok, refused = paramiko.OPEN_SUCCEEDED, paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
            return int(ok if kind == "session" else refused)

        def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
            line = command.decode("utf-8", "replace")
            self.commands.append(threading.Thread(target=_run, args=(guest, channel, line, self.user), daemon=True))
            return True

    return Interface()


def _run_after_replies(transport: Any, interface: Any) -> None:
    """Start commands when the client knows that they were taken.

    paramiko replies after ``check_channel_exec_request`` has returned. A command that is faster than that closes its
    channel first, and the client takes this for a refusal.
    """
    send = transport._send_user_message

    def send_and_start(message: Any) -> None:
        send(message)
        # The transport's own thread sends nothing but replies.
        while interface.commands and threading.current_thread() is transport:
            interface.commands.pop().start()

    transport._send_user_message = send_and_start


def _run(guest: Guest, channel: Any, line: str, user: str) -> None:
    """Run one command, and send what it answers."""
    try:
        answer = run_line(guest, line, user, lambda: b"".join(iter(lambda: channel.recv(_PIECE), b"")))
        channel.sendall(answer.stdout.encode())
        channel.sendall_stderr(answer.stderr.encode())
        channel.send_exit_status(answer.exit_status)
        channel.shutdown_write()
        channel.close()
    except (OSError, EOFError):
        # The client has gone.
        pass
