"""OpenStack Swift with s3api, the strictest free S3 server: one node, real processes, made anew for each run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

from tests.integration.relay import free_port, wait_until

ACCESS, SECRET = "test:tester", "testing"
HOME = Path(sys.prefix) / "swift"
OLDER = Path(sys.prefix) / "swift-old"
_FILTERS = "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes"
_STORE = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
workers = 0
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_PROXY = f"""\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {{port}}
swift_dir = {{folder}}
workers = 0
log_level = WARNING
[pipeline:main]
pipeline = {_FILTERS} proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {SECRET} .admin
user_test_reader = reading
"""
_RUN = """\
import sys
from swift.common import utils
utils.set_swift_dir(sys.argv[1])
from swift.common.wsgi import run_wsgi
run_wsgi(f"{sys.argv[1]}/{sys.argv[2]}.conf", f"{sys.argv[2]}-server")
"""
_RINGS = """\
import sys
from swift.common.ring import RingBuilder
for name, port in zip(("account", "container", "object"), sys.argv[2:]):
    ring = RingBuilder(4, 1, 1)
    where = {"region": 1, "zone": 1, "ip": "127.0.0.1", "device": "d1", "weight": 1.0, "port": int(port)}
    ring.add_dev(where | {"replication_ip": "127.0.0.1", "replication_port": int(port), "meta": ""})
    ring.rebalance()
    ring.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
"""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server that runs, and what it keeps on its disks."""

    url: str
    folder: Path

    def client(self, **more: object) -> "boto3.client":
        """Return a stock client of the owner of everything."""
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        given = {"endpoint_url": self.url, "aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET}
        return boto3.client("s3", region_name="us-east-1", **({"config": config} | given | more))

    def bucket(self, name: str) -> str:
        """Create a bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def running_swift(folder: Path, *, is_old: bool = False) -> Iterator[S3Server]:
    """Run a node; the older one (2.30, of 2022) refuses what S3 clients send by default since 2025."""
    if not (HOME / "bin" / "swift-proxy-server").exists() or not OLDER.exists():
        pytest.skip("OpenStack Swift is not installed; `make test` installs it.")
    folder.mkdir()
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n")
    (folder / "netifaces.py").touch()  # the older one imports it; it has no wheel, and is not used here
    env = {**os.environ, "PYTHONWARNINGS": "ignore"} | ({"PYTHONPATH": f"{OLDER}:{folder}"} if is_old else {})
    python, processes = HOME / "bin" / "python", []
    ports = {name: free_port() for name in ("account", "container", "object", "proxy")}
    rest = "".join(f"[filter:{n}]\nuse = egg:swift#{n}\n" for n in _FILTERS.split() if f"[filter:{n}]" not in _PROXY)
    for name, port in ports.items():
        text = _PROXY + rest if name == "proxy" else _STORE
        (folder / f"{name}.conf").write_text(text.format(port=port, folder=folder, name=name))
    (folder / "disks" / "d1").mkdir(parents=True)
    subprocess.run([python, "-c", _RINGS, folder, *map(str, ports.values())], env=env, check=True)
    for name in ports:
        with (folder / f"{name}.log").open("wb") as log:
            command = [python, "-c", _RUN, folder, name]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=env))
    url = f"http://127.0.0.1:{ports['proxy']}"
    try:
        wait_until(lambda: _is_up(url), within_s=60, told=lambda: _logs(folder))
        yield S3Server(url, folder)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthcheck").is_success
    except httpx.HTTPError:
        return False


def _logs(folder: Path) -> str:
    return "".join(path.read_text()[-500:] for path in folder.glob("*.log"))
