"""OpenStack Swift with s3api, the strictest free S3 server: one node, real processes, made anew for each run."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.integration.relay import free_port, wait_until

ACCESS, SECRET = "test:tester", "testing"
HOME = Path(sys.prefix) / "swift"
OLDER = Path(sys.prefix) / "swift-old"
_FILTERS = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy container_quotas slo dlo "
    "versioned_writes"
)
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
_OWNER = """\
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors proxy-server
[app:proxy-server]
use = egg:swift#proxy
[filter:catch_errors]
use = egg:swift#catch_errors
"""
_RUN = """\
import sys
from swift.common import utils
utils.set_swift_dir(sys.argv[1])
from swift.common.wsgi import run_wsgi
run_wsgi(f"{sys.argv[1]}/{sys.argv[2]}.conf", f"{sys.argv[2]}-server")
"""
_TELL = """\
import json, sys
from swift.common import utils
utils.set_swift_dir(sys.argv[1])
from swift.common.internal_client import InternalClient
owner = InternalClient(f"{sys.argv[1]}/owner.conf", "test", 1)
owner.set_container_metadata("AUTH_test", sys.argv[2], json.loads(sys.argv[3]))
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
    """A server that runs."""

    url: str
    stock: Any
    """A stock client of the owner of everything."""
    disks: Path
    tell: Callable[[str, dict[str, str]], None]
    """Set headers of a bucket in Swift's own language: S3 has no word for quotas."""


def stock_client(url: str, **more: Any) -> Any:
    """Return boto3's client of the owner of everything, as it is by default but for the style of addresses."""
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    given = {"endpoint_url": url, "aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET, "config": config}
    return boto3.client("s3", region_name="us-east-1", **(given | more))


@contextmanager
def running_swift(folder: Path, *, is_old: bool = False) -> Iterator[S3Server]:
    """Run a node; the older one (2.30, of 2022) refuses what S3 clients send by default since 2025."""
    if not (HOME / "bin" / "swift-proxy-server").exists() or not OLDER.exists():
        pytest.skip("OpenStack Swift is not installed; `make test` installs it.")
    folder.mkdir()
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n")
    if is_old:
        _stand_in(folder, "netifaces")
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
    (folder / "owner.conf").write_text(_OWNER.format(folder=folder))

    def tell(bucket: str, headers: dict[str, str]) -> None:
        subprocess.run([python, "-c", _TELL, folder, bucket, json.dumps(headers)], env=env, check=True)

    try:
        wait_until(lambda: all(map(_listens, ports.values())), within_s=60, told=lambda: _logs(folder))
        yield S3Server(url, stock_client(url), folder / "disks", tell)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _stand_in(folder: Path, name: str) -> None:
    """Make an empty module of a library that has no wheel and is imported, but not used here."""
    (folder / f"{name}.py").touch()
    (folder / f"{name}-0.11.0.dist-info").mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.11.0\n"
    (folder / f"{name}-0.11.0.dist-info" / "METADATA").write_text(text)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _logs(folder: Path) -> str:
    return "".join(path.read_text()[-500:] for path in folder.glob("*.log"))
