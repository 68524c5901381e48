"""A bridge with two guests behind our filters, in a network namespace: which frames of one reach the other?

python wire.py < {"rules": nft script, "bridge": name, "taps": [sender's, receiver's], "frames": {name: hex}}
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys

ALL_PROTOCOLS = socket.htons(3)
END = bytes.fromhex("ffffffffffff" + "0200000000ff" + "88b5") + b"end".ljust(46, b"\0")
"""A frame of the namespace's own, on the receiver's side: it comes last."""


def run(line: str, **options: str) -> None:
    subprocess.run(line.split(), check=True, text=True, capture_output=True, **options)  # type: ignore[call-overload]


def opened(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ALL_PROTOCOLS)
    sock.bind((device, 0))
    sock.settimeout(5)
    return sock


def main() -> None:
    given = json.load(sys.stdin)
    bridge, (sender, receiver) = given["bridge"], given["taps"]
    run(f"ip link add {bridge} type bridge mcast_snooping 0 forward_delay 0")
    for tap, guest in ((sender, "guest0"), (receiver, "guest1"), ("end0", "end1")):
        run(f"ip link add {tap} type veth peer name {guest}")
        run(f"ip link set {tap} master {bridge}")
        for device in (tap, guest):
            # What the kernel itself would say of an address is none of the frames.
            run(f"ip link set {device} addrgenmode none up")
    run(f"ip link set {bridge} addrgenmode none up")
    run("nft -f -", input=given["rules"])
    names = {bytes.fromhex(frame): name for name, frame in given["frames"].items()}
    arrived: list[str] = []
    with opened("guest0") as source, opened("guest1") as sink, opened("end1") as end:
        for frame in names:
            source.send(frame)
        end.send(END)
        while (frame := sink.recv(2048)) != END:
            if frame in names:
                arrived.append(names[frame])
    json.dump(arrived, sys.stdout)


main()
