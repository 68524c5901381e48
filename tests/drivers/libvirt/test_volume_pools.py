"""Volume types as pools, and backups, on libvirt's test hypervisor: where the bytes are, refusals, nothing left."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import NODE
from specs import mark, open_test_driver, preset_image, volume_spec

from cloudkit.driver import EVERYTHING, OpenRequest
from cloudkit.errors import Busy, ConfigError, InvalidRequest, InvalidState, NotFound, QuotaExceeded
from cloudkit.types import BackupSpec, BackupStatus, Kind, SnapshotSpec, VolumeStatus
from cloudkit_libvirt import PLUGIN
from cloudkit_libvirt.bodies import BackupBody, Phase, Restore, VolumeBody
from cloudkit_libvirt.pool import Pool, PoolFull

POOL = "<pool type='{kind}'><name>{name}</name><source>{source}</source><target><path>/{name}</path></target></pool>"
TYPES = {"ssd": "fast", "archive": "slow"}


def hypervisor(folder: Path, **pools: str) -> str:
    """The address of a hypervisor with these pools: name → libvirt's type."""
    text = "".join(
        POOL.format(name=name, kind=kind, source="<name>vg</name>" if kind == "logical" else "")
        for name, kind in pools.items()
    )
    node = folder / "pools.xml"
    node.write_text(NODE.replace("</node>", text + "</node>"))
    return f"test://{node}"


def copy_within(self: Pool, source: str, name: str, source_pool: Pool | None = None) -> None:
    """Copy as QEMU's libvirt does; the test hypervisor copies within one pool only."""
    if source_pool is None or source_pool.name == self.name:
        COPY(self, source, name, source_pool)
        return
    source_pool.path(source)
    self.create_qcow2(name, 1 << 30)


COPY = Pool.copy


@pytest.fixture
def pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """A driver with three volume types, and a pool for backups."""
    monkeypatch.setattr(Pool, "copy", copy_within)
    address = hypervisor(tmp_path, fast="dir", slow="dir", vault="dir")
    driver = open_test_driver(address, volume_types=TYPES, backup_pool="vault")
    yield driver
    driver.close()


def names(driver: Any, pool: str | None) -> list[str]:
    return sorted(name for name in driver._context.pools.named(pool).names() if ".image" not in name)


def backup_spec(volume_id: str, **fields: Any) -> BackupSpec:
    return BackupSpec(**{"name": "b", "mark": mark(), "volume_id": volume_id, **fields})


class TestOptions:
    def parse(self, name: str, value: Any) -> Any:
        (option,) = [option for option in PLUGIN.options if option.name == name]
        return option.parse(value)

    def test_types_are_text_or_a_table(self) -> None:
        assert self.parse("volume_types", "ssd=fast, archive = slow,") == TYPES
        assert self.parse("volume_types", TYPES) == TYPES
        assert self.parse("volume_types", "") == {}

    @pytest.mark.parametrize(
        "value",
        [
            "ssd",
            "=fast",
            "ssd=",
            "ssd=a/b",
            "default=fast",
            {"ssd": 3},
            {3: "fast"},
            {"two\nlines": "fast"},
            ["ssd"],
            7,
        ],
        ids=str,
    )
    def test_what_is_no_table_of_pools_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match=r"."):
            self.parse("volume_types", value)

    def test_a_pool_that_is_not_there_is_told_at_once(self, tmp_path: Path) -> None:
        for options in ({"volume_types": {"ssd": "none"}}, {"backup_pool": "none"}):
            with pytest.raises(ConfigError, match="no storage pool 'none'") as raised:
                open_test_driver(hypervisor(tmp_path, fast="dir"), **options)
            assert "pool-list" in raised.value.hint

    def test_a_pool_without_files_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="'lvm' is of libvirt's type 'logical'"):
            open_test_driver(hypervisor(tmp_path, lvm="logical"), volume_types={"lvm": "lvm"})


class TestTypes:
    def test_each_type_is_a_pool(self, pools: Any) -> None:
        types = pools.volume.volumes.types()
        assert [(each.name, each.default) for each in types] == [
            ("default", True),
            ("ssd", False),
            ("archive", False),
        ]
        assert "pool fast" in types[1].description
        for each, pool in zip(types, (None, "fast", "slow"), strict=True):
            volume = pools.volume.volumes.create(volume_spec(volume_type=each.name))
            assert volume.volume_type == each.name
            assert names(pools, pool) == [f"ck-{volume.id}.volume"]
            assert f"ck-{volume.id}.volume" in pools.raw(Kind.VOLUME, volume.id)
            pools.volume.volumes.delete(volume.id)
            assert names(pools, pool) == []

    def test_an_unknown_one_is_refused_with_the_known_ones(self, pools: Any) -> None:
        with pytest.raises(InvalidRequest, match="'gold'") as raised:
            pools.volume.volumes.create(volume_spec(volume_type="gold"))
        assert "default, ssd, archive" in raised.value.hint
        assert [names(pools, pool) for pool in (None, "fast", "slow")] == [[], [], []]

    def test_copies_stay_in_the_pool_unless_another_type_is_asked_for(self, pools: Any) -> None:
        volumes, snapshots = pools.volume.volumes, pools.volume.snapshots
        source = volumes.create(volume_spec(volume_type="ssd", image_id=preset_image(pools).id))
        snapshot = snapshots.create(SnapshotSpec(name="s", mark=mark(), volume_id=source.id))
        of_snapshot = volumes.create(volume_spec(snapshot_id=snapshot.id))
        clone = volumes.create(volume_spec(source_volume_id=source.id, size_gib=2))
        assert {(each.volume_type, each.bootable) for each in (of_snapshot, clone)} == {("ssd", True)}
        assert len(names(pools, "fast")) == 4
        moved = volumes.create(volume_spec(source_volume_id=source.id, volume_type="archive"))
        back = volumes.create(volume_spec(source_volume_id=moved.id, volume_type="default"))
        assert names(pools, "slow") == [f"ck-{moved.id}.volume"]
        assert names(pools, None) == [f"ck-{back.id}.volume"]
        assert (back.image_id, back.source_volume_id) == (preset_image(pools).id, moved.id)

    def test_a_driver_that_does_not_know_the_type_finds_the_volume(self, pools: Any) -> None:
        volume = pools.volume.volumes.create(volume_spec(volume_type="ssd"))
        pools._context.pools._types.pop("ssd")
        assert pools.volume.volumes.get(volume.id).volume_type == "ssd"
        pools.volume.volumes.delete(volume.id)
        assert names(pools, "fast") == []

    def test_a_full_pool_is_told_by_its_name(self, pools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Pool, *_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Pool, "create_qcow2", full)
        with pytest.raises(PoolFull) as raised:
            pools.volume.volumes.create(volume_spec(volume_type="ssd"))
        error = pools.translate(raised.value)
        assert isinstance(error, QuotaExceeded)
        assert "the storage pool 'fast' is full" in str(error)
        assert "Free now" in error.hint
        assert list(pools.volume.volumes.list(EVERYTHING)) == []

    def test_a_zone_that_there_is_not_is_refused(self, pools: Any) -> None:
        with pytest.raises(InvalidRequest, match="zone 'mars'"):
            pools.volume.volumes.create(volume_spec(availability_zone="mars"))


class TestSources:
    def test_what_is_too_small_is_refused(self, pools: Any) -> None:
        big = pools.volume.volumes.create(volume_spec(size_gib=2))
        with pytest.raises(InvalidRequest, match="at least 2 GiB"):
            pools.volume.volumes.create(volume_spec(source_volume_id=big.id))
        assert names(pools, None) == [f"ck-{big.id}.volume"]

    @pytest.mark.parametrize("field", ["source_volume_id", "snapshot_id", "image_id"])
    def test_what_is_not_there_is_not_found(self, pools: Any, field: str) -> None:
        with pytest.raises(NotFound):
            pools.volume.volumes.create(volume_spec(**{field: "none"}))

    def test_a_source_that_goes_meanwhile_leaves_nothing(self, pools: Any) -> None:
        source = pools.volume.volumes.create(volume_spec())
        records = pools._context.records
        create = records.create

        def create_and_delete(id: str, body: Any) -> Any:
            record = create(id, body)
            patch.undo()
            pools.volume.volumes.delete(source.id)
            return record

        patch = pytest.MonkeyPatch()
        patch.setattr(records, "create", create_and_delete)
        with pytest.raises(NotFound):
            pools.volume.volumes.create(volume_spec(source_volume_id=source.id))
        assert names(pools, None) == []
        assert list(pools.volume.volumes.list(EVERYTHING)) == []

    def test_bytes_that_are_gone_are_told(self, pools: Any) -> None:
        source = pools.volume.volumes.create(volume_spec())
        pools._context.pool.delete(f"ck-{source.id}.volume")
        with pytest.raises(NotFound, match="is not in its pool"):
            pools.volume.volumes.create(volume_spec(source_volume_id=source.id))
        with pytest.raises(NotFound, match="is not in its pool"):
            pools.volume.backups.create(backup_spec(source.id))
        assert (names(pools, None), names(pools, "vault")) == ([], [])


class TestBackups:
    def test_it_is_in_its_pool_and_outlives_the_volume(self, pools: Any) -> None:
        volumes, backups = pools.volume.volumes, pools.volume.backups
        volume = volumes.create(volume_spec(volume_type="ssd", image_id=preset_image(pools).id))
        backup = backups.create(backup_spec(volume.id))
        assert backup == backups.get(backup.id)
        assert names(pools, "vault") == [f"ck-{backup.id}.backup"]
        assert f"ck-{backup.id}.backup" in pools.raw(Kind.BACKUP, backup.id)
        volumes.delete(volume.id)

        target = volumes.create(volume_spec(size_gib=2))
        backups.restore(backup.id, target.id)
        restored = volumes.get(target.id)
        assert (restored.status, restored.bootable) == (VolumeStatus.AVAILABLE, True)
        assert (restored.image_id, restored.size_gib) == (preset_image(pools).id, 2)
        (file,) = names(pools, None)
        assert file.startswith(f"ck-{target.id}.volume.")
        assert file in pools.raw(Kind.VOLUME, target.id)
        assert pools.limits()["backup_gib"].in_use == 1

        backups.delete(backup.id)
        volumes.delete(target.id)
        assert [names(pools, pool) for pool in (None, "fast", "vault")] == [[], [], []]
        assert pools._context.records._store.names() == [f"ck1.image.{preset_image(pools).id}.1"]

    def test_what_a_dead_client_was_backing_up_is_busy_until_the_backup_is_deleted(self, pools: Any) -> None:
        volumes, backups = pools.volume.volumes, pools.volume.backups
        volume = volumes.create(volume_spec())
        backup = backups.create(backup_spec(volume.id))
        pools._context.records.change(BackupBody, backup.id, lambda body: replace(body, phase=Phase.CREATING))
        assert backups.get(backup.id).status is BackupStatus.CREATING
        assert volumes.get(volume.id).status is VolumeStatus.BACKING_UP
        for refused in (
            lambda: volumes.delete(volume.id),
            lambda: backups.create(backup_spec(volume.id, force=True)),
            lambda: backups.restore(backup.id, volume.id),
            lambda: pools.volume.snapshots.create(SnapshotSpec(name="s", mark=mark(), volume_id=volume.id)),
            lambda: volumes.create(volume_spec(source_volume_id=volume.id)),
        ):
            with pytest.raises(InvalidState):
                refused()
        assert volumes.get(volume.id).status is VolumeStatus.BACKING_UP
        backups.delete(backup.id)
        volumes.delete(volume.id)

    def test_what_a_dead_client_was_restoring_is_restored_again_or_deleted(self, pools: Any) -> None:
        volumes, backups = pools.volume.volumes, pools.volume.backups
        volume = volumes.create(volume_spec())
        backup = backups.create(backup_spec(volume.id))

        def die() -> None:
            restore = Restore(backup_id=backup.id, file=".0123abcd")
            pools._context.records.change(VolumeBody, volume.id, lambda body: replace(body, restore=restore))
            pools._context.pool.create_qcow2(f"ck-{volume.id}.volume.0123abcd", 1 << 30)

        die()
        assert volumes.get(volume.id).status is VolumeStatus.RESTORING_BACKUP
        assert backups.get(backup.id).status is BackupStatus.RESTORING
        with pytest.raises(InvalidState, match="being written"):
            backups.delete(backup.id)
        assert pools._context.records.view().get(BackupBody, backup.id).body.phase is Phase.READY
        backups.restore(backup.id, volume.id)
        assert volumes.get(volume.id).status is VolumeStatus.AVAILABLE

        volumes.delete(volume.id)
        volume = volumes.create(volume_spec())
        die()
        volumes.delete(volume.id)
        backups.delete(backup.id)
        assert [names(pools, pool) for pool in (None, "vault")] == [[], []]

    def test_a_restore_that_fails_leaves_the_volume_as_it_was(
        self, pools: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        volumes, backups = pools.volume.volumes, pools.volume.backups
        volume = volumes.create(volume_spec())
        backup = backups.create(backup_spec(volume.id))

        def full(self: Pool, *_: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Pool, "copy", full)
            with pytest.raises(PoolFull):
                backups.restore(backup.id, volume.id)
        assert volumes.get(volume.id).status is VolumeStatus.AVAILABLE
        assert names(pools, None) == [f"ck-{volume.id}.volume"]

    def test_of_two_restores_at_once_the_later_one_counts(self, pools: Any) -> None:
        volumes, backups = pools.volume.volumes, pools.volume.backups
        volume = volumes.create(volume_spec())
        backup = backups.create(backup_spec(volume.id))

        def copy_late(self: Pool, *arguments: Any) -> None:
            patch.undo()
            copy_within(self, *arguments)
            backups.restore(backup.id, volume.id)

        patch = pytest.MonkeyPatch()
        patch.setattr(Pool, "copy", copy_late)
        with pytest.raises(Busy, match="another client restores"):
            backups.restore(backup.id, volume.id)
        assert volumes.get(volume.id).status is VolumeStatus.AVAILABLE
        (file,) = names(pools, None)
        assert file in pools.raw(Kind.VOLUME, volume.id)

    def test_another_projects_things_are_not_found(self, pools: Any) -> None:
        other = pools.for_project("other").volume
        mine, theirs = pools.volume.volumes.create(volume_spec()), other.volumes.create(volume_spec())
        backup = pools.volume.backups.create(backup_spec(mine.id))
        for refused in (
            lambda: other.backups.create(backup_spec(mine.id)),
            lambda: other.backups.restore(backup.id, theirs.id),
            lambda: pools.volume.backups.restore(backup.id, theirs.id),
            lambda: other.backups.delete(backup.id),
        ):
            with pytest.raises(NotFound):
                refused()


def test_a_record_that_names_a_file_elsewhere_is_passed_over(pools: Any) -> None:
    volume = pools.volume.volumes.create(volume_spec())
    record = pools._context.records.view().get(VolumeBody, volume.id)
    for file in ("/../../etc/passwd", ".0123ABCD", "x"):
        with pytest.raises(ValueError, match="no end of a volume's name"):
            replace(record.body, file=file)
        with pytest.raises(ValueError, match="no end of a volume's name"):
            replace(record.body, restore=Restore(backup_id="b", file=file))


def test_options_that_are_not_given_are_at_their_defaults() -> None:
    request = OpenRequest("test:///default", {option.name: option.default for option in PLUGIN.options}, None, "test")
    driver = PLUGIN.open(request)
    try:
        (only,) = driver.volume.volumes.types()  # type: ignore[attr-defined]
        assert (only.name, only.default) == ("default", True)
    finally:
        driver.close()
