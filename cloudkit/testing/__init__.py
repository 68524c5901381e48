"""For tests of code that uses cloudkit: pytest fixtures (in :mod:`cloudkit.testing.plugin`) and fault scripts.

    def test_a_full_cloud_is_told(fake_cloud, fake_faults):
        fake_faults.add("servers.create", Raise(QuotaExceeded("no more")))

pytest imports this package wherever cloudkit is installed, so the names are loaded when they are used first.
"""

# As in cloudkit itself: importing typing's name would cost more than all the rest here.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from cloudkit_fake.clock import VirtualClock as VirtualClock
    from cloudkit_fake.cloud import FakeCloud as FakeCloud
    from cloudkit_fake.faults import Delay as Delay
    from cloudkit_fake.faults import Disconnect as Disconnect
    from cloudkit_fake.faults import Fail as Fail
    from cloudkit_fake.faults import Fault as Fault
    from cloudkit_fake.faults import Faults as Faults
    from cloudkit_fake.faults import Hang as Hang
    from cloudkit_fake.faults import LoseAnswer as LoseAnswer
    from cloudkit_fake.faults import Raise as Raise
    from cloudkit_fake.guests import Guests as Guests
    from cloudkit_fake.guests.answers import Answer as Answer
    from cloudkit_fake.guests.answers import Call as Call

_HOMES = {
    "cloudkit_fake.clock": ("VirtualClock",),
    "cloudkit_fake.cloud": ("FakeCloud",),
    "cloudkit_fake.faults": ("Delay", "Disconnect", "Fail", "Fault", "Faults", "Hang", "LoseAnswer", "Raise"),
    "cloudkit_fake.guests": ("Guests",),
    "cloudkit_fake.guests.answers": ("Answer", "Call"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'cloudkit.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
