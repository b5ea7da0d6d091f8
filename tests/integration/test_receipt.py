"""What the archive proved, on paper and for whoever does not take our word; and nothing goes without it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from typer.testing import CliRunner

from kspace.errors import BadInput, NotFound
from tests.integration.relay import Relay, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.config import load_config
from transfer.feeds.sweep import sweep
from transfer.receipts import Signer
from transfer.sandbox import Sandbox, SandboxSettings


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Deliver one file to two archives and leave its packed file in the spool."""
    folder = tmp_path_factory.mktemp("site")
    with Sandbox(folder / "one", SandboxSettings()) as one, Sandbox(folder / "two", SandboxSettings()) as two:
        urls = {"central": one.url, "vault": two.url}
        relay = Relay(folder=folder, urls=urls, part_bytes=200_000, keep_s=3600)
        raw = make(folder / "scanner" / "one.dat", measurement(1))
        with relay.running() as running:
            send_until_taken(raw.images, running.port, within_s=20)
            wait_until(lambda: running.captures()["one.dat"]["state"] == "delivered", within_s=40, told=running.stories)
            (to_vault,) = running.deliveries(kind="raw", to="vault")
        yield folder, relay.write(), raw, f"d{to_vault['id']}"


def run(*arguments: object) -> str:
    said = CliRunner().invoke(app, ["receipt", *map(str, arguments)])
    assert said.exit_code == 0, (said.output, said.exception)
    return said.stdout


def refused(*arguments: object, kind: type[BadInput] = BadInput) -> str:
    said = CliRunner().invoke(app, ["receipt", *map(str, arguments)])
    assert type(said.exception) is kind, (said.output, said.exception)
    return str(said.exception)


@pytest.fixture
def saved(site, tmp_path) -> Path:
    _, config, _, delivery = site
    run(delivery, "-o", tmp_path / "receipt.json", "-c", config)
    return tmp_path / "receipt.json"


def test_a_capture_in_two_archives_has_two_receipts(site):
    _, config, _, delivery = site
    assert delivery in refused(1, "-c", config)
    assert json.loads(run(delivery, "-c", config))["receipt"]["destination"] == "vault"
    for unknown in ("7", "d77", "x", "d", "9" * 30):
        refused(unknown, "-c", config, kind=NotFound)


def test_it_is_byte_for_byte_what_lies_beside_the_data(site, saved):
    folder, config, _, delivery = site
    (there,) = (folder / "two").rglob("receipt.json")
    assert saved.read_bytes() == there.read_bytes()
    assert "written" in refused(delivery, "-o", saved, "-c", config)


def test_it_is_checked_with_the_relays_own_key_or_one_that_was_given(site, saved, tmp_path):
    folder, config, raw, _ = site
    assert "this relay's own key" in run("--check", saved, "-c", config)
    pem = run("--public-key", "-c", config)
    (tmp_path / "key.pem").write_text(pem)
    none = tmp_path / "none.toml"
    for key in (tmp_path / "key.pem", Signer(folder / "relay" / "receipt-key.pem").public_key):
        assert "the key you gave" in run("--check", saved, "--key", key, "-c", none)
    assert "nobody here vouches" in refused("--check", saved, "-c", none)
    other = Signer(tmp_path / "other.pem").public_key
    assert "another relay's, or forged" in refused("--check", saved, "--key", other, "-c", none)
    assert "no Ed25519 public key" in refused("--check", saved, "--key", "x", "-c", none)
    assert "original file" in run("--check", saved, "--against", raw.path, "-c", config)


def test_the_packed_file_and_each_part_can_be_compared(site, saved, tmp_path):
    folder, config, raw, _ = site
    packed = folder / "relay" / "spool" / "00000001.packed"
    assert "packed file: each of its" in run("--check", saved, "--against", packed, "-c", config)
    parts = sorted((folder / "two").rglob("part-*.bin"))
    assert len(parts) > 1
    for part in parts:
        assert part.name in run("--check", saved, "--against", part, "-c", config)
    for original in (raw.path, packed, parts[0]):
        data = bytearray(original.read_bytes())
        data[len(data) // 2] ^= 1
        (tmp_path / "changed").write_bytes(data)
        assert "is not what this receipt is for" in refused(
            "--check", saved, "--against", tmp_path / "changed", "-c", config
        )
    assert "cannot be read" in refused("--check", saved, "--against", tmp_path / "gone", "-c", config)


def test_stock_openssl_agrees(site, saved, tmp_path, requires):
    _, config, _, _ = site
    (tmp_path / "key.pem").write_text(run("--public-key", "-c", config))
    signed = json.loads(saved.read_bytes())
    said = json.dumps(signed["receipt"], sort_keys=True, separators=(",", ":"))
    (tmp_path / "said").write_text(said)
    command = f"printf %s '{signed['signature']}' | base64 -d > sig && {requires('openssl')} pkeyutl -verify -pubin"
    command += " -inkey key.pem -rawin -in said -sigfile sig"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False, capture_output=True).returncode == 0
    (tmp_path / "said").write_text(said.replace("vault", "fault"))
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False, capture_output=True).returncode != 0


@pytest.mark.parametrize(
    "wrong", ["", "1 --public-key", "1 --against f", "1 --check f", "--key k --public-key", "--check /nowhere"]
)
def test_what_cannot_be_understood_is_refused(site, wrong):
    refused(*wrong.split(), "-c", site[1])


def test_the_page_for_people_stands_alone(site, tmp_path):
    _, config, raw, delivery = site
    run(delivery, "--html", tmp_path / "receipt.html", "-c", config)
    page = (tmp_path / "receipt.html").read_text()
    assert raw.sha256 in page
    assert "vault" in page
    assert not re.search(r"https?:|src=|@import|url\(|<script|<link", page), "nothing from outside"
    assert "prefers-color-scheme: dark" in page
    assert raw.path.name not in page
    assert "written" in refused(delivery, "--html", tmp_path / "receipt.html", "-c", config)


# --- nothing goes without it ------------------------------------------------------------------------------------------


def test_the_spool_is_freed_only_with_a_receipt_of_every_archive(site):
    folder, config, _, delivery = site
    database, spool = Database(load_config(config).relay.catalog_url), folder / "relay" / "spool"
    packed, t = spool / "00000001.packed", tables
    c, d, r = t.capture.c, t.delivery.c, t.receipt.c
    with database.write() as connection:
        connection.execute(update(t.capture).where(c.id == 1).values(state="retired"))
        rows = connection.execute(select(t.receipt).where(r.delivery_id == int(delivery[1:]))).mappings().all()
        connection.execute(delete(t.receipt).where(r.delivery_id == int(delivery[1:])))
    assert sweep(spool=spool, database=database) == 0
    assert packed.exists()
    with database.write() as connection:
        connection.execute(t.receipt.insert().values([dict(row) for row in rows]))
        connection.execute(update(t.delivery).where(d.id == int(delivery[1:])).values(state="queued"))
    assert sweep(spool=spool, database=database) == 0, "an archive lost it since"
    assert packed.exists()
    with database.write() as connection:
        connection.execute(update(t.delivery).where(d.id == int(delivery[1:])).values(state="verified"))
    assert sweep(spool=spool, database=database) == 1
    assert not packed.exists()
    database.close()
