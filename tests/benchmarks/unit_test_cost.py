"""What one unit test on the fake costs, set-up and tear-down included; beside moto's where it is installed."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable

import cloudkit

ROUNDS = 300
AT_MOST_MS = 0.5


def fake_test() -> None:
    """Connect, make a network and a volume, look, close: what a small test does."""
    with cloudkit.connect("fake://") as cloud:
        cloud.networks.create("private", cidr="172.16.1.0/24")
        volume = cloud.volumes.create("data", size_gib=1)
        assert cloud.volumes.get(volume).size_gib == 1


def moto_test() -> None:
    """The like on moto's EC2."""
    import boto3
    from moto import mock_aws

    with mock_aws():
        client = boto3.client("ec2", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
        client.create_vpc(CidrBlock="172.16.1.0/24")
        volume = client.create_volume(AvailabilityZone="eu-west-1a", Size=1)
        assert client.describe_volumes(VolumeIds=[volume["VolumeId"]])["Volumes"][0]["Size"] == 1


def median_ms(work: Callable[[], None], rounds: int) -> float:
    work()
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def main() -> int:
    mine = median_ms(fake_test, ROUNDS)
    print(f"one unit test on the fake: {mine:.3f} ms (at most {AT_MOST_MS} ms)")
    if importlib.util.find_spec("moto") and importlib.util.find_spec("boto3"):
        peer = median_ms(moto_test, 5)
        print(f"the like on moto's EC2: {peer:.0f} ms, {peer / mine:.0f} x")
    else:
        print("moto is not installed: no peer to compare with")
    return int(mine > AT_MOST_MS)


if __name__ == "__main__":
    sys.exit(main())
