"""Tests for back-ends whose guests are machines that send packets to each other, which those of a fake are not.

A driver's test module imports them beside the suite's, by ``from cloudkit.conformance.traffic import *``.
"""

from cloudkit.conformance.traffic.networks import TestTraffic
from cloudkit.conformance.traffic.trunks import TestTrunkTraffic

__all__ = ["TestTraffic", "TestTrunkTraffic"]
