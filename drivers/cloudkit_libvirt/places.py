"""Where the bytes of volumes, snapshots and backups are, and copying them from one place to another."""

from __future__ import annotations

from dataclasses import dataclass

from cloudkit.errors import NotFound
from cloudkit_libvirt.bodies import BackupBody, SnapshotBody, VolumeBody
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.live_copy import push
from cloudkit_libvirt.pool import Pool
from cloudkit_libvirt.quiesce import Consistency
from cloudkit_libvirt.records import Record


@dataclass(frozen=True, slots=True)
class Place:
    """A storage volume: its pool, and its name there."""

    pool: Pool
    name: str

    @property
    def path(self) -> str:
        """Its file on libvirt's host; raises FileNotFoundError."""
        return self.pool.path(self.name)

    @property
    def xml(self) -> str:
        """Libvirt's description."""
        return self.pool.xml(self.name)

    def delete(self) -> None:
        """Delete what is there, and what QEMU wrote there unseen by libvirt."""
        self.pool.delete_all(self.name)


def volume_name(volume_id: str, file: str = "") -> str:
    """The storage volume of a volume; ``file`` tells apart what it had before a restore and has since."""
    return f"ck-{volume_id}.volume{file}"


def volume_place(context: Context, volume: Record[VolumeBody]) -> Place:
    """Where a volume's bytes are."""
    return Place(context.pools.named(volume.body.pool), volume_name(volume.id, volume.body.file))


def snapshot_place(context: Context, snapshot: Record[SnapshotBody]) -> Place:
    """Where a snapshot's bytes are."""
    return Place(context.pools.named(snapshot.body.pool), f"ck-{snapshot.id}.snapshot")


def backup_place(context: Context, backup: Record[BackupBody]) -> Place:
    """Where a backup's bytes are."""
    return Place(context.pools.named(backup.body.pool), f"ck-{backup.id}.backup")


def copy(context: Context, source: Place, target: Place, slot: tuple[str, str] | None = None) -> Consistency | None:
    """Copy a disk to a new flat qcow2 volume, so that neither depends on the other.

    Returns how good the copy is, where a guest was writing to the disk.

    Args:
        slot: the server that has the disk, and the disk's name in it; where it runs, QEMU copies what its guest sees.
    """
    server_id, device = slot or (None, "")
    try:
        with target.pool.telling_when_full():
            domain = context.domains.find(server_id) if server_id is not None else None
            if domain is None or not domain.isActive():
                target.pool.copy(source.name, target.name, source.pool)
                consistency = None
            else:
                consistency = push(context, domain, device, target.pool.path_for(target.name))
                # libvirt has not seen yet what QEMU wrote.
                target.pool.refresh()
                target.pool.size_bytes(target.name)
            return consistency
    except FileNotFoundError as error:
        raise NotFound(
            f"the storage volume {source.name!r} is not in its pool",
            driver="libvirt",
            resource=source.name,
            hint="It was deleted in this moment, or behind cloudkit's back.",
        ) from error
