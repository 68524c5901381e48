"""For tests of code that uses cloudkit: pytest fixtures (in :mod:`cloudkit.testing.plugin`) and fault scripts.

def test_a_full_cloud_is_told(fake_cloud, fake_faults):
fake_faults.add("servers.create", Raise(QuotaExceeded("no more")))
"""

from cloudkit_fake.cloud import FakeCloud
from cloudkit_fake.faults import Delay, Disconnect, Fail, Fault, Faults, Hang, LoseAnswer, Raise
from cloudkit_fake.guests.answers import Answer, Call

__all__ = [
    "Answer",
    "Call",
    "Delay",
    "Disconnect",
    "Fail",
    "FakeCloud",
    "Fault",
    "Faults",
    "Hang",
    "LoseAnswer",
    "Raise",
]
