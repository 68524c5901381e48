"""Garbage in /proc and /sys is told or passed over, and never raises."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import machines
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudkit import host
from cloudkit.host.cpu import parse_cpuinfo
from cloudkit.host.tree import Tree

KEYS = st.sampled_from(
    ["processor", "processor 0", "vendor_id", "model name", "flags", "vmx flags", "CPU implementer", "Features", ""]
)
LINES = st.builds("{}\t: {}".format, KEYS, st.text()) | st.text()


@given(st.lists(LINES).map("\n".join) | st.text())
def test_any_cpuinfo_is_read(text: str) -> None:
    cpu = parse_cpuinfo(text)
    assert 0 <= cpu.count <= len(text.splitlines())
    assert cpu.feature in (None, "vmx", "svm")
    assert (cpu.feature is None) == (not {"vmx", "svm"} & cpu.flags)


@given(st.sets(st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True)), st.integers(1, 64))
def test_flags_and_processors_are_read_back(flags: set[str], count: int) -> None:
    text = "\n".join(f"processor\t: {n}\nvendor_id\t: X\nflags\t\t: {' '.join(flags)}\n" for n in range(count))
    cpu = parse_cpuinfo(text)
    assert cpu.flags == flags
    assert cpu.count == count


def test_every_processor_is_counted_on_other_architectures() -> None:
    assert parse_cpuinfo(machines.ARM_CPUINFO).count == 4
    assert parse_cpuinfo(machines.S390X_CPUINFO).count == 2
    assert parse_cpuinfo(machines.PPC64LE_CPUINFO).count == 1


WHERE = sorted({path for files in machines.MACHINES.values() for path in files if not path.endswith("/")})


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(WHERE), st.binary(max_size=80), max_size=12))
@example({"proc/sys/kernel/arch": b"\1\0\1"})
def test_any_machine_is_looked_at(garbage: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, content in garbage.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for check in host.inspect(root):
            assert check.name
            assert check.summary


class TestTree:
    def test_what_cannot_be_read_is_empty(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path)
        (tmp_path / "folder").mkdir()
        (tmp_path / "text").write_text("words")
        assert (tree.text("folder"), tree.text("nothing"), tree.text("nul\0")) == ("", "", "")
        assert (tree.number("text"), tree.number("nothing"), tree.switch("text")) == (None, None, None)
        assert (tree.names("text"), tree.names("nothing")) == ([], [])
        assert tree.open_problem("nothing") is not None
        assert tree.open_problem("folder") is not None
        assert tree.open_problem("text") is None

    def test_a_file_without_an_end_is_cut(self, tmp_path: Path) -> None:
        (tmp_path / "endless").symlink_to("/dev/zero")
        assert 0 < len(Tree(tmp_path).text("endless")) < 1 << 24

    def test_the_room_for_a_folder_that_is_to_be_made(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path)
        found, whole = tree.space("not/yet/there"), tree.space("")
        assert found is not None
        assert whole is not None
        # Not the free bytes: others write meanwhile.
        assert found.total == whole.total

    def test_a_socket_is_connected_to(self, tmp_path: Path) -> None:
        # The path of a Unix socket has at most 107 characters.
        with tempfile.TemporaryDirectory(dir="/tmp") as short:
            tree = Tree(short)
            path = os.path.join(short, "s")
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path)
                server.listen()
                assert tree.connect_problem("s") is None
            assert tree.connect_problem("s") is not None
            assert tree.connect_problem("nothing") is not None
