"""All tests; a driver's test module imports them by ``from cloudkit.conformance.suite import *``."""

from cloudkit.conformance.suite.addresses import TestAddresses, TestPorts
from cloudkit.conformance.suite.backups import TestBackups
from cloudkit.conformance.suite.batches import TestBatches
from cloudkit.conformance.suite.capabilities import TestCapabilities
from cloudkit.conformance.suite.cloud import TestAllProjects, TestClosing, TestCloud, TestLimits
from cloudkit.conformance.suite.errors import TestErrors
from cloudkit.conformance.suite.flavors import TestFlavors, TestKeyPairs, TestServerGroups
from cloudkit.conformance.suite.image_bytes import TestChecksums, TestDangerousImages, TestImageImport
from cloudkit.conformance.suite.image_sharing import TestImageSharing
from cloudkit.conformance.suite.images import (
    TestBadImages,
    TestDownload,
    TestImageUpdate,
    TestServerImages,
    TestUpload,
)
from cloudkit.conformance.suite.interfaces import TestInterfaces
from cloudkit.conformance.suite.kinds import TestEveryKind, TestValuesOfOthers
from cloudkit.conformance.suite.listing import TestListing
from cloudkit.conformance.suite.many_subnets import TestHostRoutes, TestIpv6, TestSeveralSubnets
from cloudkit.conformance.suite.networks import TestNetworks, TestSubnets
from cloudkit.conformance.suite.references import TestOddNames, TestRareNames, TestReferences
from cloudkit.conformance.suite.routing import TestFloatingIps, TestRouters, TestSecurityGroups
from cloudkit.conformance.suite.scopes import TestScopes, TestSweep
from cloudkit.conformance.suite.server_life import (
    TestLock,
    TestPause,
    TestRebuild,
    TestRescue,
    TestResize,
    TestServerLife,
    TestSuspend,
)
from cloudkit.conformance.suite.server_options import TestBadServers, TestConsole, TestServerOptions, TestServerUpdate
from cloudkit.conformance.suite.server_shelving import TestShelve
from cloudkit.conformance.suite.server_watching import TestInteractiveConsole, TestSamples
from cloudkit.conformance.suite.ssh import TestKeyFiles, TestSsh
from cloudkit.conformance.suite.trunks import TestTrunks
from cloudkit.conformance.suite.vlans import TestVlans
from cloudkit.conformance.suite.volume_sources import TestClones, TestVolumeTypes
from cloudkit.conformance.suite.volumes import TestAttach, TestSnapshots, TestVolumes
from cloudkit.conformance.suite.waits import TestWaits

__all__ = [
    "TestAddresses",
    "TestAllProjects",
    "TestAttach",
    "TestBackups",
    "TestBadImages",
    "TestBadServers",
    "TestBatches",
    "TestCapabilities",
    "TestChecksums",
    "TestClones",
    "TestClosing",
    "TestCloud",
    "TestConsole",
    "TestDangerousImages",
    "TestInteractiveConsole",
    "TestInterfaces",
    "TestSamples",
    "TestDownload",
    "TestErrors",
    "TestEveryKind",
    "TestFlavors",
    "TestFloatingIps",
    "TestHostRoutes",
    "TestImageImport",
    "TestImageSharing",
    "TestImageUpdate",
    "TestIpv6",
    "TestKeyFiles",
    "TestKeyPairs",
    "TestLimits",
    "TestListing",
    "TestLock",
    "TestNetworks",
    "TestOddNames",
    "TestPause",
    "TestPorts",
    "TestRebuild",
    "TestRareNames",
    "TestReferences",
    "TestRescue",
    "TestResize",
    "TestRouters",
    "TestScopes",
    "TestSecurityGroups",
    "TestServerGroups",
    "TestServerImages",
    "TestServerLife",
    "TestServerOptions",
    "TestServerUpdate",
    "TestSeveralSubnets",
    "TestShelve",
    "TestSnapshots",
    "TestSsh",
    "TestSubnets",
    "TestSuspend",
    "TestSweep",
    "TestTrunks",
    "TestUpload",
    "TestValuesOfOthers",
    "TestVlans",
    "TestVolumeTypes",
    "TestVolumes",
    "TestWaits",
]
