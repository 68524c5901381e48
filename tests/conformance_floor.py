"""What each of our own back-ends must declare: declaring less fails its conformance run."""

from cloudkit.driver import CAPABILITIES

FLOOR = {
    "fake": CAPABILITIES,
}
