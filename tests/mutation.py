"""Put faults into the code, one at a time, and tell how many of them the unit tests notice.

    python tests/mutation.py FOLDER

Which files and which tests is said in pyproject.toml, as mutmut reads it. All work is done on a copy in FOLDER, so
that no mutant ever stands in the tree. Exits with 1 where fewer than the floor were noticed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

FLOOR = 0.80
COPIED = ("pyproject.toml", "cloudkit", "tests/unit/conftest.py", "tests/unit/contract", "tests/unit/portable")
NOTICED = {"killed", "timeout"}


def main() -> int:
    tree, folder = Path(__file__).parent.parent, Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        source, target = tree / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    mutmut = [sys.executable, "-m", "mutmut"]
    subprocess.run([*mutmut, "run"], cwd=folder, stdout=sys.stderr, check=True)
    listed = subprocess.run(
        [*mutmut, "results", "--all", "true"], cwd=folder, capture_output=True, text=True, check=True
    )
    return report(folder, dict(line.strip().rsplit(": ", 1) for line in listed.stdout.splitlines()))


def report(folder: Path, status: dict[str, str]) -> int:
    modules: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for mutant, word in status.items():
        # cloudkit._wait.x_poll__mutmut_3: a function's name is mangled, and holds no dot.
        modules[mutant.rpartition(".")[0]][word in NOTICED] += 1
        if word not in NOTICED:
            print(f"{word}: {mutant}")
    for module, counts in sorted(modules.items()):
        print(f"{module}: {counts[True]} of {counts.total()} mutants killed, {counts[True] / counts.total():.1%}")
    killed, total = sum(counts[True] for counts in modules.values()), len(status)
    print(f"mutation: {killed} of {total} killed, {killed / total:.1%} (at least {FLOOR:.0%})")
    print(f"To see one: cd {folder} && mutmut show NAME", file=sys.stderr)
    return int(killed < FLOOR * total)


if __name__ == "__main__":
    raise SystemExit(main())
