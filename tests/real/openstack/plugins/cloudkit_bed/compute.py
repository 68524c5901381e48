"""Nova's fake virt driver, so that it survives a restart and its snapshots have bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from nova import context as nova_context
from nova import objects
from nova.compute import power_state, vm_states
from nova.image import glance
from nova.virt import fake

GUESTLESS = (vm_states.DELETED, vm_states.BUILDING, vm_states.SHELVED_OFFLOADED)
STATES = (power_state.RUNNING, power_state.SHUTDOWN, power_state.PAUSED, power_state.SUSPENDED)


class Driver(fake.FakeDriverWithoutFakeNodes):
    """A host with room for large guests, that remembers them from Nova's own database."""

    def init_host(self, host: str) -> None:
        super().init_host(host)
        for instance in objects.InstanceList.get_by_host(nova_context.get_admin_context(), host):
            if instance.vm_state in GUESTLESS:
                continue
            state = instance.power_state if instance.power_state in STATES else power_state.RUNNING
            flavor = instance.flavor
            self.resources.claim(vcpus=flavor.vcpus, mem=flavor.memory_mb, disk=flavor.root_gb)
            self.instances[instance.uuid] = fake.FakeInstance(instance.name, state, instance.uuid)

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        super().snapshot(context, instance, image_id, update_task_state)
        image = {"disk_format": "raw", "container_format": "bare", "properties": {}, "status": "active"}
        data = io.BytesIO(f"snapshot of {instance.uuid}".encode())
        glance.API().update(context, image_id, image, data=data, purge_props=False)

    def default_root_device_name(self, instance: Any, image_meta: Any, root_bdm: Any) -> str:
        """As with a guest of KVM; volumes get the names that follow."""
        return "/dev/vda"

    def get_host_uptime(self) -> str:
        return Path("/proc/uptime").read_text().split()[0]
