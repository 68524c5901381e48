"""A bed that stays: python tests/real/openstack/bed.py VERB …

start    run it (in seconds from the second time on), with what it knew; whatever has died of it is started again
stop     end it; what it knows is kept
reset    end it and forget all that it knew
status   what runs, and how much memory it takes; fails when something is down
exec …   run a command in its network, with OS_CLIENT_CONFIG_FILE, OS_CLOUD and the `openstack` command at hand
kill …   end services as a crash would
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from command_line import exit_status
from openstack_bed import DEFAULT_FOLDER, OpenStackBed, run_client


def tell(bed: OpenStackBed) -> None:
    """Print how to use a bed that runs."""
    print(f"clouds.yaml: {bed.layout.clouds_yaml} (bed-demo, bed-other: members; bed-reader; bed-admin)")
    print(f"enter it:    {' '.join(bed.pod.command(['COMMAND']))}")


def show_status(bed: OpenStackBed) -> int:
    """Print what runs; return 1 when something is down."""
    status = bed.status()
    for name, memory in status.services_mb.items():
        print(f"{name:<25} {'down' if memory is None else f'{memory:5} MB'}")
    print(f"{'all processes':<25} {status.pod_mb:5} MB")
    tell(bed)
    return int(bool(status.down))


def main(arguments: list[str]) -> int:
    """Do one verb; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where the bed is kept")
    parser.add_argument("--guests", action="store_true", help="start: servers are machines, under QEMU's emulation")
    parser.add_argument("verb", choices=("start", "stop", "reset", "status", "exec", "kill"))
    parser.add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    bed = OpenStackBed(options.folder.resolve())
    return exit_status(lambda: do(bed, options.verb, options.words, options.guests))


def do(bed: OpenStackBed, verb: str, words: list[str], guests: bool) -> int:
    """Do one verb and return the exit status."""
    if verb == "start":
        bed.start(guests=guests)
        tell(bed)
    elif verb == "stop":
        bed.stop()
    elif verb == "reset":
        bed.reset()
    elif verb == "kill":
        bed.control("kill", *words)
    elif verb == "exec":
        return run_client(bed, words)
    else:
        return show_status(bed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
