"""Run benchmarks; exits 1 when a figure is beyond its bound.

python tests/benchmarks/run.py [NAME …]                                            those that need no root
python tests/real/libvirt/run.py --shell python tests/benchmarks/run.py --bed [NAME …]   those on a real libvirt
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = ("imports", "demo", "fake_cycles", "unit_test_cost", "ssh_exec", "openstack_requests")
BED_NAMES = ("many_servers", "list_servers", "wait_lateness", "create_to_ssh", "reconcile")


def main(arguments: list[str]) -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    usual = BED_NAMES if "--bed" in arguments else NAMES
    failed: list[str] = []
    for name in [name for name in arguments if name != "--bed"] or usual:
        print(f"\n== {name}", flush=True)
        if importlib.import_module(name).main():
            failed.append(name)
    print(f"\n{'beyond their bounds: ' + ', '.join(failed) if failed else 'all within their bounds'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
