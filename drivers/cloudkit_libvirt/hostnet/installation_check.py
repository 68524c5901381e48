"""What ``cloudkit doctor`` tells of ``cloudkit host install``."""

from __future__ import annotations

from cloudkit.host import Check, Level
from cloudkit_libvirt.hostnet.installation import Installation


def host_install(installation: Installation, cloud: str) -> Check:
    """``libvirt.host_install``: whether the host's network comes back by itself, and came back the last time."""
    missing = installation.missing
    complaint = installation.complaint
    if len(missing) == len(installation.files):
        level, summary = Level.INFO, "after a reboot of the host its network is brought back by the next connection"
    elif missing:
        level, summary = Level.WARN, f"the host's network does not come back by itself, as {missing[0]} is gone"
    elif complaint:
        level, summary = Level.WARN, f"the host's network was not brought back the last time: {complaint}"
    else:
        level, summary = Level.OK, "the host's network comes back by itself, by libvirt's hooks"
    hint = f"As root, `cloudkit host install --cloud {cloud}` has libvirt itself do it." if missing else ""
    if complaint and not missing:
        hint = (
            f"All that was said is in {installation.log}. `cloudkit host reconcile --cloud {cloud}` tries it again."
        )
    return Check(
        name="libvirt.host_install",
        level=level,
        summary=summary,
        details={"installed": not missing, "missing": [str(path) for path in missing], "complaint": complaint},
        hint=hint,
    )
