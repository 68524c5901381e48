"""Run the real libvirt tests: install what they need, build the guest, start the bed, tear all down.

python tests/real/libvirt/run.py [PYTEST ARGUMENTS]
python tests/real/libvirt/run.py --shell COMMAND …      any command inside the bed

With --debian before all else, or where CI is set, a Debian with cloud-init is built too, for the test that boots it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bed import LibvirtBed
from command_line import command_of, exit_status, progress, run_to_its_end
from debian_image import debian_image
from guest_image import guest_image
from host_packages import install_packages

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]


def run_in_new_bed(command: Sequence[str], with_debian: bool) -> int:
    """Start a bed, run `command` in it, remove the bed; a leftover makes success a failure."""
    with progress("packages are installed"):
        install_packages()
    with progress("guest image is built"):
        images = {"CLOUDKIT_TEST_GUEST_IMAGE": str(guest_image())}
    if with_debian:
        with progress("Debian image is built"):
            images["CLOUDKIT_TEST_DEBIAN_IMAGE"] = str(debian_image())
    with progress("removed"), LibvirtBed.start() as bed:
        print(f"bed: libvirtd runs in {bed.folder}", file=sys.stderr)
        environment = {
            **os.environ,
            **images,
            "CLOUDKIT_TEST_LIBVIRT_URI": bed.uri,
            "CLOUDKIT_TEST_BED": str(bed.folder),
        }
        status = run_to_its_end(bed.command(command), environment)
        left = bed.leftovers()
    if left:
        print("bed: THE TESTS LEFT BEHIND:", *left, sep="\n    ", file=sys.stderr)
    return status or int(bool(left))


def main(arguments: list[str]) -> int:
    """Run pytest, or the command after --shell, inside a new bed."""
    with_debian = bool(os.environ.get("CI"))
    if arguments[:1] == ["--debian"]:
        with_debian, arguments = True, arguments[1:]
    command = command_of(arguments, str(HERE.relative_to(REPOSITORY)))
    if arguments[:1] != ["--shell"]:
        os.chdir(REPOSITORY)
    return exit_status(lambda: run_in_new_bed(command, with_debian))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
