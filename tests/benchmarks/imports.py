"""What imports cost, in CPU time, against ``python -c pass`` in the same run; and what they load."""

from __future__ import annotations

import importlib.util
import resource
import statistics
import subprocess
import sys

ROUNDS = 15
AT_MOST = {"import cloudkit": 2.5}
HEAVY = ("openstack", "libvirt", "paramiko", "requests", "rich", "cryptography", "pytest")
CODE = {
    "import cloudkit": "import cloudkit",
    "a fake connected": "import cloudkit; cloudkit.connect('fake://').close()",
    "cloudkit --version": "from cloudkit.cli import main; main(['--version'])",
}
PEERS = {"import openstack": "openstack", "import moto": "moto", "import paramiko": "paramiko"}


def cpu_s(code: str) -> float:
    """The CPU seconds of a new interpreter that runs the code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-I", "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def medians(codes: dict[str, str]) -> dict[str, float]:
    """The median of each, measured in turns, so that a busy moment hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(ROUNDS):
        for name, code in codes.items():
            times[name].append(cpu_s(code))
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> int:
    peers = {name: name for name, module in PEERS.items() if importlib.util.find_spec(module)}
    found = medians({"floor": "pass", **CODE, **peers})
    floor = found.pop("floor")
    failed = False
    print(f"python -c pass: {floor * 1000:.1f} ms of CPU")
    for name, seconds in found.items():
        ratio, limit = seconds / floor, AT_MOST.get(name)
        failed |= limit is not None and ratio > limit
        print(f"{name}: {ratio:.1f} x{f' (at most {limit} x)' if limit else ' (a peer)' if name in PEERS else ''}")
    code = f"import sys, cloudkit; print(*set(sys.modules) & set({HEAVY!r}))"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    print(f"heavy modules that import cloudkit loads: {', '.join(loaded) or 'none'}")
    return int(failed or bool(loaded))


if __name__ == "__main__":
    sys.exit(main())
