"""A Debian with real cloud-init takes what the seed says, in either of its forms."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Generator
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from cloudkit import Cloud, Server, Shell

IMAGE = os.environ.get("CLOUDKIT_TEST_DEBIAN_IMAGE")
USER = "debian"
BOOT_S = 600.0
"""It takes half a minute on an idle machine."""

pytestmark = pytest.mark.skipif(IMAGE is None, reason="built where CI is set, or by run.py --debian")

READ_CONFIG_DRIVE = """\
import json
from cloudinit.sources.DataSourceConfigDrive import read_config_drive
read = read_config_drive("/mnt")
print(json.dumps([read["metadata"]["local-hostname"], read["userdata"].decode("latin-1")[:2],
    sorted(read["vendordata"]), read["networkdata"]["networks"][0]["type"], read["metadata"]["availability_zone"]]))
"""


def multipart() -> bytes:
    message = MIMEMultipart()
    script = MIMEText("#!/bin/sh\necho the script has run >/root/by-script\n", "x-shellscript")
    files = [{"path": "/root/by-config", "content": "the config was read\n"}]
    # The locale that cloud-init would make by itself fails on this Debian.
    settings = {"manage_etc_hosts": True, "locale": "C.UTF-8", "write_files": files}
    config = MIMEText(f"#cloud-config\n{json.dumps(settings)}\n", "cloud-config")
    for part in (script, config):
        message.attach(part)
    return message.as_bytes()


@pytest.fixture
def server(cloud: Cloud, tmp_path: Path) -> Generator[Server]:
    assert IMAGE is not None
    with cloud.scope("cloud-init") as mine:
        mine.networks.create("private", cidr="172.16.1.0/24")
        mine.images.upload("debian", path=IMAGE)
        mine.flavors.create("debian", vcpus=2, ram_mib=512, disk_gib=3)
        mine.key_pairs.generate("me", tmp_path / "key")
        yield mine.servers.create(
            "Web 1", image="debian", flavor="debian", key_pair="me", user_data=gzip.compress(multipart())
        )


def test_it_takes_all_that_the_seed_says(cloud: Cloud, server: Server, tmp_path: Path) -> None:
    def login() -> Shell:
        # Only the host key that was injected is accepted.
        return cloud.ssh(server, user=USER, key=tmp_path / "key", timeout_s=BOOT_S)

    with login() as shell:

        def run(command: str) -> str:
            done = shell.run(f"sudo {command}", timeout_s=BOOT_S)
            assert done.exit_status == 0, f"{command}: {done.stderr or done.stdout}"
            return done.stdout.strip()

        shell.run("cloud-init status --wait", timeout_s=BOOT_S)
        errors = json.loads(run("cat /run/cloud-init/result.json"))["v1"]["errors"]
        assert errors == [], run("grep -B3 -A30 WARN /var/log/cloud-init.log")
        assert run("cloud-id") == "nocloud"
        assert run("hostname") == "web-1"
        assert run("cat /root/by-script") == "the script has run"
        assert run("cat /root/by-config") == "the config was read"
        assert server.host_key is not None
        key_type, fingerprint = server.host_key.split()
        assert fingerprint in run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
        assert key_type == "ssh-ed25519"

        # The same disk, read as a config drive by the same cloud-init.
        run("mount -o ro LABEL=cidata /mnt")
        shell.run(f"cat >/tmp/read.py <<'END'\n{READ_CONFIG_DRIVE}\nEND", check=True)
        assert run("python3 /tmp/read.py") == ('["web-1", "\\u001f\\u008b", ["cloud-init"], "ipv4_dhcp", "nova"]')

    cloud.servers.stop(server, timeout_s=120)
    # The private host key is wiped now; the guest has its own copy.
    cloud.servers.start(server)
    with login() as shell:
        assert shell.run("sudo cat /root/by-script", timeout_s=BOOT_S).stdout == "the script has run\n"
