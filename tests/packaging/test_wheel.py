from __future__ import annotations

import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

IMPORT_PACKAGES = {"cloudkit", "cloudkit_fake", "cloudkit_libvirt", "cloudkit_openstack"}


def read(wheel: zipfile.ZipFile, ending: str) -> bytes:
    (name,) = [name for name in wheel.namelist() if name.endswith(ending)]
    return wheel.read(name)


def test_it_holds_the_import_packages_and_nothing_beside(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == IMPORT_PACKAGES
    assert len(tops) == len(IMPORT_PACKAGES) + 1


@pytest.mark.parametrize(
    "name",
    [
        "cloudkit/cli/story.py",
        "cloudkit/conformance/__init__.py",
        "cloudkit/testing/plugin.py",
        "cloudkit/py.typed",
        "cloudkit_fake/py.typed",
        "cloudkit_libvirt/py.typed",
        "cloudkit_openstack/py.typed",
    ],
)
def test_it_holds(wheel: zipfile.ZipFile, name: str) -> None:
    assert name in wheel.namelist()


def test_it_holds_no_caches(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if "__pycache__" in name or name.endswith(".pyc")] == []


def test_it_holds_the_licence(wheel: zipfile.ZipFile) -> None:
    assert b"Apache License" in read(wheel, ".dist-info/licenses/docs/LICENSE.txt")
    metadata = message_from_bytes(read(wheel, ".dist-info/METADATA"))
    assert metadata["Name"] == "cloudkit-sdk"
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_core_depends_on_nothing(wheel: zipfile.ZipFile) -> None:
    requirements = message_from_bytes(read(wheel, ".dist-info/METADATA")).get_all("Requires-Dist", [])
    assert [requirement for requirement in requirements if "extra ==" not in requirement] == []


def test_the_entry_points_name_what_the_wheel_holds(wheel: zipfile.ZipFile) -> None:
    text = read(wheel, ".dist-info/entry_points.txt").decode()
    targets = [line.partition("=")[2].strip() for line in text.splitlines() if "=" in line]
    assert {"cloudkit.cli:main", *(f"cloudkit_{name}:PLUGIN" for name in ("fake", "libvirt", "openstack"))} <= set(
        targets
    )
    for target in targets:
        module = target.partition(":")[0].replace(".", "/")
        assert {f"{module}.py", f"{module}/__init__.py"} & set(wheel.namelist()), target


def test_the_sdist_holds_the_tests_and_no_local_state(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "pyproject.toml", "tox.ini", "docs/LICENSE.txt", "tests/packaging/test_wheel.py"} <= names
    assert [name for name in names if name.startswith((".cache", ".tox", ".venv", ".git/"))] == []
