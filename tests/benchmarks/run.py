"""Run every benchmark that needs no root; exits 1 when a figure is beyond its bound.

    python tests/benchmarks/run.py [NAME …]

``create_to_ssh`` needs the real bed; its own text tells how to run it there.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = ("imports", "demo", "fake_cycles", "unit_test_cost", "ssh_exec")


def main(names: list[str]) -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    failed: list[str] = []
    for name in names or NAMES:
        print(f"\n== {name}", flush=True)
        if importlib.import_module(name).main():
            failed.append(name)
    print(f"\n{'beyond their bounds: ' + ', '.join(failed) if failed else 'all within their bounds'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
