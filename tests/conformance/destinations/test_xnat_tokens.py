"""Alias tokens are renewed in time, over real requests, with a clock moved by hand."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from transfer.catalog import lists
from transfer.catalog.database import Database
from transfer.destinations.errors import Unauthorized
from transfer.destinations.xnat import Xnat
from transfer.destinations.xnat.client import XnatSettings
from transfer.feeds.renew import Renewing
from transfer.sandbox import Sandbox, SandboxSettings


class HandClock:
    def __init__(self):
        self.time = datetime(2026, 1, 5, 8, tzinfo=UTC)

    def now(self):
        return self.time

    def monotonic(self):
        return self.time.timestamp()

    def sleep(self, seconds):
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def site(tmp_path, clock):
    with Sandbox(tmp_path / "archive", SandboxSettings(), clock=clock) as running:
        yield running


@pytest.fixture
def database(tmp_path):
    catalog = Database(f"sqlite:///{tmp_path}/catalog.sqlite")
    catalog.migrate()
    yield catalog
    catalog.close()


@pytest.fixture
def token(site, tmp_path):
    """Issue a token as a person does, into its two files."""
    token = httpx.get(f"{site.url}/data/services/tokens/issue", auth=("relay", "relay")).raise_for_status().json()
    (tmp_path / "alias").write_text(token["alias"])
    (tmp_path / "secret").write_text(token["secret"])
    return token


@pytest.fixture
def xnat(site, tmp_path):
    opened = []

    def _xnat(**more):
        given = {"name": "central", "url": site.url, "user": "relay", "password": {"file": str(tmp_path / "secret")}}
        settings = {**given, "alias": {"file": str(tmp_path / "alias")}, **more}
        opened.append(Xnat(XnatSettings.model_validate(settings)))
        return opened[-1]

    yield _xnat
    for archive in opened:
        archive.close()


def alerts(database):
    with database.read() as connection:
        return [alert["text"] for alert in lists.alerts(connection)]


def issued(site):
    log = httpx.get(f"{site.url}/sandbox/log").json()
    return sum(seen["path"].endswith("/issue") for seen in log)


def test_a_week_passes_and_the_relay_is_still_signed_in(site, token, *, xnat, database, clock, tmp_path):
    """Tokens live two days: three and more of them one after the other, the last one's files always in force."""
    archive, used = xnat(), {token["alias"]}
    renewing = Renewing({"central": archive}, database=database, clock=clock)
    for _ in range(7 * 24 * 2):
        renewing()
        clock.sleep(1800)
        assert "signed in" in archive.check()
        used.add((tmp_path / "alias").read_text())
    assert 6 <= len(used) - 1 == issued(site) - 1 <= 8
    assert alerts(database) == []
    first = httpx.get(f"{site.url}/data/auth", auth=(token["alias"], token["secret"]))
    assert first.status_code == 401
    log = httpx.get(f"{site.url}/sandbox/log").json()
    assert not [seen for seen in log if "invalidate" in seen["path"]], "others may still use the old one"
    assert sum(seen["path"].endswith("/show") for seen in log) <= 7 * 8 + 8, "a few times a day"


def test_a_young_token_is_left_alone_and_a_start_renews_an_old_one(site, token, *, xnat, database, clock, tmp_path):
    Renewing({"central": xnat()}, database=database, clock=clock)()
    assert (tmp_path / "alias").read_text() == token["alias"]
    clock.sleep(25 * 3600)
    Renewing({"central": xnat()}, database=database, clock=clock)()
    assert (tmp_path / "alias").read_text() != token["alias"]


def test_two_relays_with_the_same_files_end_with_one_pair(site, token, *, xnat, database, clock, tmp_path):
    clock.sleep(25 * 3600)
    first, second = xnat(), xnat()
    theirs = first.term()
    assert theirs.is_due(clock.now())
    second.renew()
    kept = (tmp_path / "alias").read_text()
    Renewing({"central": first}, database=database, clock=clock)()
    assert (tmp_path / "alias").read_text() == kept, "it is young again"
    assert "signed in" in first.check()
    assert "signed in" in second.check()


def test_what_the_relay_cannot_replace_is_told_a_day_before(site, token, *, xnat, database, clock, monkeypatch):
    monkeypatch.setenv("KSPACE_ALIAS_UNDER_TEST", token["alias"])
    archive = xnat(alias={"env": "KSPACE_ALIAS_UNDER_TEST"})
    renewing = Renewing({"central": archive}, database=database, clock=clock)
    renewing()
    assert alerts(database) == []
    clock.sleep(27 * 3600)
    renewing()
    (said,) = alerts(database)
    assert "ends 2026-01-07 08:00 UTC" in said
    assert "write alias and secret anew" in said
    assert archive.term().told() in said
    fresh = httpx.get(f"{site.url}/data/services/tokens/issue", auth=("relay", "relay")).json()
    monkeypatch.setenv("KSPACE_ALIAS_UNDER_TEST", fresh["alias"])
    archive._settings.password.file.write_text(fresh["secret"])
    clock.sleep(4 * 3600)
    renewing()
    assert alerts(database) == []


def test_a_folder_that_takes_no_file_is_told(site, token, *, xnat, database, clock, tmp_path):
    (tmp_path / "..secret.pair.new").mkdir()
    clock.sleep(25 * 3600)
    Renewing({"central": xnat()}, database=database, clock=clock)()
    (said,) = alerts(database)
    assert "cannot be written" in said
    assert (tmp_path / "alias").read_text() == token["alias"]


def test_a_token_that_ended_is_told_once_and_asked_for_seldom(site, token, *, xnat, database, clock):
    clock.sleep(3 * 24 * 3600)
    renewing = Renewing({"central": xnat()}, database=database, clock=clock)
    for _ in range(60):
        renewing()
        clock.sleep(60)
    (said,) = alerts(database)
    assert "401" in said
    assert token["secret"] not in said
    log = httpx.get(f"{site.url}/sandbox/log").json()
    assert sum(seen["status"] == 401 for seen in log) <= 4, "20 in an hour lock the account"


def test_a_pair_that_the_archive_does_not_take_is_never_used(site, token, *, xnat, tmp_path):
    archive = xnat()
    with pytest.raises(Unauthorized):
        archive._client.demand(("no-such-alias", "no-such-secret"))
    assert (tmp_path / "alias").read_text() == token["alias"]


def test_a_password_has_no_end(tmp_path, xnat):
    (tmp_path / "secret").write_text("relay")
    assert xnat(alias=None).term() is None
