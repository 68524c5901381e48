"""The wheel in a venv of its own, without any extra."""

from __future__ import annotations

import subprocess
from pathlib import Path

HEAVY = ("openstack", "libvirt", "paramiko", "requests", "rich", "pytest", "yaml", "cryptography")


def python(bin_folder: Path, code: str) -> str:
    done = subprocess.run([bin_folder / "python", "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_next_to_nothing(bare_venv: Path) -> None:
    loaded = python(
        bare_venv, "import sys; before = set(sys.modules); import cloudkit; print(*set(sys.modules) - before)"
    )
    assert not {name.partition(".")[0] for name in loaded.split()} & {*HEAVY, "dataclasses", "logging", "argparse"}


def test_every_public_name_is_there(bare_venv: Path) -> None:
    code = "import cloudkit; print(*[name for name in cloudkit.__all__ if getattr(cloudkit, name) is None])"
    assert python(bare_venv, code) == "\n"


def test_the_fake_needs_no_extra(bare_venv: Path) -> None:
    code = (
        "import sys, cloudkit\n"
        "with cloudkit.connect('fake://') as cloud:\n"
        "    print(cloud.driver_name, len(list(cloud.flavors.list())) > 0)\n"
        f"print(*set(sys.modules) & set({HEAVY!r}))"
    )
    assert python(bare_venv, code) == "fake True\n\n"


def test_a_driver_without_its_extra_says_which(bare_venv: Path) -> None:
    code = (
        "import cloudkit\n"
        "try:\n"
        "    cloudkit.connect('libvirt+qemu:///system')\n"
        "except cloudkit.MissingExtra as error:\n"
        "    print(error)"
    )
    assert "pip install 'cloudkit-sdk[libvirt]'" in python(bare_venv, code)


def test_the_command_tells_its_version_without_an_extra(bare_venv: Path) -> None:
    done = subprocess.run([bare_venv / "cloudkit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cloudkit 0.")
