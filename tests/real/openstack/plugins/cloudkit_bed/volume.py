"""A Cinder driver that keeps each volume and snapshot as one sparse file: no LVM, no iSCSI, no privileges."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from cinder import exception, interface
from cinder.image import image_utils
from cinder.volume import configuration, driver
from oslo_config import cfg
from oslo_utils import units

OPTIONS = [
    cfg.StrOpt("bed_volume_folder", help="where the files are"),
    cfg.StrOpt("bed_connection_type", default="local", help="the driver_volume_type by which Nova attaches a file"),
]
cfg.CONF.register_opts(OPTIONS, group=configuration.SHARED_CONF_GROUP)


@interface.volumedriver
class FileDriver(driver.VolumeDriver):
    """Volumes as files of one folder, named as Cinder names them."""

    VERSION = "1.0"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.configuration.append_config_values(OPTIONS)
        self._folder = Path(self.configuration.bed_volume_folder)

    def do_setup(self, context: Any) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def check_for_setup_error(self) -> None:
        pass

    # -- volumes and snapshots

    def create_volume(self, volume: Any) -> None:
        _grow(self._path(volume), volume.size)

    def delete_volume(self, volume: Any) -> None:
        self._path(volume).unlink(missing_ok=True)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        _grow(self._path(volume), new_size)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        self._copy(src_vref, volume)

    def create_snapshot(self, snapshot: Any) -> None:
        self._copy(snapshot.volume, snapshot)

    def delete_snapshot(self, snapshot: Any) -> None:
        self._path(snapshot).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        self._copy(snapshot, volume)

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        self._copy(snapshot, volume)

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any, host: Any) -> tuple[bool, None]:
        return True, None

    # -- images

    def clone_image(
        self, context: Any, volume: Any, image_location: Any, image_meta: dict[str, Any], image_service: Any
    ) -> tuple[dict[str, Any], bool]:
        # The way round this one converts by privsep and sudo, which a bed has not.
        self._fill(context, volume, image_service, image_meta)
        return {}, True

    def copy_image_to_volume(
        self, context: Any, volume: Any, image_service: Any, image_id: str, disable_sparse: bool = False
    ) -> None:
        self._fill(context, volume, image_service, image_service.show(context, image_id))

    def copy_volume_to_image(self, context: Any, volume: Any, image_service: Any, image_meta: dict[str, Any]) -> None:
        with self._path(volume).open("rb") as file:
            image_service.update(context, image_meta["id"], {}, file)

    # -- attaching

    def ensure_export(self, context: Any, volume: Any) -> None:
        pass

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        pass

    def remove_export(self, context: Any, volume: Any) -> None:
        pass

    def initialize_connection(self, volume: Any, connector: Any) -> dict[str, Any]:
        return {
            "driver_volume_type": self.configuration.bed_connection_type,
            "data": {"device_path": str(self._path(volume)), "access_mode": "rw"},
        }

    def terminate_connection(self, volume: Any, connector: Any, **options: Any) -> None:
        pass

    def _update_volume_stats(self) -> None:
        self._stats = {
            "volume_backend_name": self.configuration.safe_get("volume_backend_name"),
            "vendor_name": "cloudkit",
            "driver_version": self.VERSION,
            "storage_protocol": "file",
            "pools": [
                {
                    "pool_name": "bed",
                    "total_capacity_gb": "infinite",
                    "free_capacity_gb": "infinite",
                    "allocated_capacity_gb": 0,
                    "reserved_percentage": 0,
                    "thin_provisioning_support": True,
                    "multiattach": True,
                    "QoS_support": False,
                }
            ],
        }

    # -- files

    def _path(self, thing: Any) -> Path:
        return self._folder / thing.name

    def _copy(self, source: Any, target: Any) -> None:
        path = self._path(target)
        subprocess.run(["cp", "--sparse=always", self._path(source), path], check=True)
        _grow(path, target.volume_size if "volume_size" in target else target.size)

    def _fill(self, context: Any, volume: Any, image_service: Any, image: dict[str, Any]) -> None:
        path = self._path(volume)
        download = path.with_name(f"{path.name}.image")
        try:
            with download.open("wb") as file:
                image_service.download(context, image["id"], file)
            _to_raw(download, path, image)
        finally:
            download.unlink(missing_ok=True)
        image_utils.check_virtual_size(path.stat().st_size, volume.size, image["id"])
        _grow(path, volume.size)


def _grow(path: Path, size_gib: int) -> None:
    with path.open("ab") as file:
        file.truncate(max(file.tell(), size_gib * units.Gi))


def _to_raw(source: Path, target: Path, image: dict[str, Any]) -> None:
    image_format = image.get("disk_format") or "raw"
    argv = ["qemu-img", "convert", "-f", image_format, "-O", "raw", source, target]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise exception.ImageUnacceptable(image_id=image["id"], reason=done.stderr)
