"""A real nginx before a server: TLS by a private authority, and nobody without a certificate of that authority."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.relay import free_port, wait_until

_CONFIG = """\
daemon off; {user} pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen [::1]:{port} ssl;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;
    location / {{ proxy_pass {url}; proxy_set_header Host $http_host; proxy_request_buffering off; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Border:
    """Where it listens, on IPv6, and the files of who is to get past it."""

    url: str
    ca_file: str
    client_cert: str
    client_key: str


@contextmanager
def nginx_before(url: str, folder: Path, requires: Callable[[str], str]) -> Iterator[Border]:
    """Run it before a server."""
    openssl, port = requires("openssl"), free_port()
    folder.mkdir()

    def sign(name: str, *more: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{folder}/{name}.key")
        out = ("-out", f"{folder}/{name}.pem", "-subj", f"/CN={name}", "-days", "2", "-x509")
        subprocess.run([openssl, "req", *key, *out, *more], check=True, capture_output=True)

    sign("ca")
    for name in ("server", "relay"):
        is_none = ("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:::1")
        sign(name, "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", *is_none)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(_CONFIG.format(folder=folder, port=port, url=url, user=user))
    process = subprocess.Popen([requires("nginx"), "-c", folder / "conf", "-e", folder / "error.log"])
    try:
        wait_until(lambda: _listens(port), within_s=10)
        files = [f"{folder}/{name}" for name in ("ca.pem", "relay.pem", "relay.key")]
        yield Border(f"https://[::1]:{port}", *files)
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("::1", port), timeout=1):
            return True
    except OSError:
        return False
