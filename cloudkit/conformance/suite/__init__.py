"""All tests; a driver's test module imports them by ``from cloudkit.conformance.suite import *``."""

from cloudkit.conformance.suite.capabilities import TestCapabilities
from cloudkit.conformance.suite.cloud import TestAllProjects, TestClosing, TestCloud, TestLimits
from cloudkit.conformance.suite.kinds import TestEveryKind, TestValuesOfOthers
from cloudkit.conformance.suite.listing import TestListing
from cloudkit.conformance.suite.references import TestOddNames, TestReferences

__all__ = [
    "TestAllProjects",
    "TestCapabilities",
    "TestClosing",
    "TestCloud",
    "TestEveryKind",
    "TestLimits",
    "TestListing",
    "TestOddNames",
    "TestReferences",
    "TestValuesOfOthers",
]
