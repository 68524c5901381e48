"""How long ``cloudkit demo`` takes on the fake, from start to end of its process, logins over SSH included."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 5
AT_MOST_S = 2.0


def demo_s() -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "cloudkit.cli", "demo", "--cloud", "fake://"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> int:
    seconds = statistics.median(demo_s() for _ in range(ROUNDS))
    print(f"cloudkit demo on the fake: {seconds:.2f} s (at most {AT_MOST_S:g} s)")
    return int(seconds > AT_MOST_S)


if __name__ == "__main__":
    sys.exit(main())
