"""The page in Chromium: a journey as a person takes it, and every page judged by axe-core, light and dark."""

import os
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from sqlalchemy import update

from kspace.twix.synthetic import write_twix
from tests.browser.pictures import crowd
from tests.integration.relay import captures_of, measurement, wait_until
from tests.integration.webworld import LOCAL_PASSWORD, add_ambiguous, happen_now, page
from transfer.app.web.signin import LOCAL
from transfer.app.wiring import Box
from transfer.catalog import lists, tables
from transfer.catalog.notices import raise_alert

PAGES = ("/", "/sessions", "/sessions?text=none", "/sessions/1", "/captures/1", "/captures/9", "/review", "/review/500")
PAGES += ("/queue", "/pools", "/alerts", "/settings", "/audit", "/tokens", "/nowhere")
PAGES += ("/projects", "/projects/HEART?weeks=52", "/projects/BRAIN", "/projects/HEART/compare")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with page(folder) as running:
        add_ambiguous(running[1], 500, folder=folder)
        yield running


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowded")
    with page(folder) as running:
        crowd(running[1], folder)
        yield running


@pytest.fixture(scope="module")
def chromium(requires):
    switches = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    switches += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=requires("chromium"), args=switches)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, served):
    """Open a window; what the browser's console complains of fails the test."""
    windows, complaints = [], []

    def window(at=served, **given):
        context = chromium.new_context(base_url=at[0].url, **given)
        windows.append(context)
        tab = context.new_page()
        tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        return tab

    yield window
    for context in windows:
        context.close()
    assert [said for said in complaints if not said.endswith(("404 (Not Found)", "403 (Forbidden)"))] == []


def _enter_as_administrator(tab):
    tab.goto("/")
    tab.get_by_label("Account in").select_option(LOCAL)
    tab.get_by_label("Name", exact=True).fill("admin")
    tab.get_by_label("Password", exact=True).fill(LOCAL_PASSWORD)
    tab.get_by_role("button", name="Sign in", exact=True).click()


def test_a_researcher_signs_in_finds_a_capture_holds_it_and_leaves(opened):
    tab = opened(timezone_id="Asia/Tokyo", locale="en-GB")
    tab.goto("/sessions/4")
    assert "sign-in" in tab.url
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.get_by_label("Name", exact=True).fill("anna")
    tab.get_by_label("Password", exact=True).fill("not this")
    tab.keyboard.press("Enter")
    assert "does not take this name" in tab.get_by_role("alert").inner_text()
    tab.get_by_label("Password", exact=True).fill("annaanna")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/sessions/4")
    tab.get_by_role("link", name="Home").click()
    tab.get_by_text("All is well").wait_for()
    tab.get_by_role("link", name="Sessions").click()
    tab.get_by_label("Label or id").fill("heart_4")
    tab.get_by_role("button", name="Show").click()
    tab.get_by_role("link", name="heart_4").click()
    tab.get_by_text("1 Mar 2026, 13:00").first.wait_for()  # 04:00 UTC is 13:00 in Tokyo
    tab.get_by_role("link", name="gre_heart").click()
    tab.get_by_label("Why hold it?").fill("to look at it")
    tab.get_by_role("button", name="Hold").click()
    tab.get_by_text("held by central/anna").wait_for()
    tab.get_by_role("link", name="Home").click()
    tab.get_by_text("1 needs a person").wait_for()
    tab.get_by_role("button", name="Sign out").click()
    tab.goto("/captures/4")
    assert "sign-in" in tab.url


def test_an_administrator_sees_to_an_alert_on_a_phone_without_scripts(opened):
    tab = opened(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    _enter_as_administrator(tab)
    tab.get_by_text("A raw file is damaged.").wait_for()
    tab.get_by_role("link", name="Alerts", exact=True).click()
    tab.get_by_text("2026-03-01 00:00 UTC").first.wait_for()
    alert = tab.get_by_role("listitem").filter(has_text="A raw file is damaged.")
    alert.get_by_label("What are you doing about it?").fill("exported again")
    alert.get_by_role("button", name="I see to it").click()
    tab.get_by_text("local admin sees to it: exported again").wait_for()


def _enter(tab, name):
    tab.goto("/")
    tab.get_by_label("Name", exact=True).fill(name)
    tab.get_by_label("Password", exact=True).fill(name * 2)
    tab.get_by_role("button", name="Sign in", exact=True).click()


def test_a_reviewer_links_an_ambiguous_raw_file_and_takes_it_back(opened):
    tab = opened()
    _enter(tab, "anna")
    tab.get_by_role("link", name="Review", exact=True).click()
    tab.get_by_role("link", name="cine_retro").click()
    second = tab.get_by_role("article").filter(has_text="Series 2")
    second.get_by_text("same protocol name").wait_for()
    second.get_by_role("button", name="It is this series").click()
    tab.get_by_text("Linked by hand to series 2").wait_for()
    tab.get_by_text("by central/anna").wait_for()
    tab.get_by_role("link", name="Review", exact=True).first.click()
    tab.get_by_text("No raw file waits for a scan").wait_for()
    tab.goto("/review/500")
    tab.get_by_role("button", name="Undo the last word").click()
    assert tab.get_by_role("button", name="It is this series").count() == 2


def test_an_administrator_sees_a_filling_disk_and_a_stuck_upload_and_sees_to_both(opened, crowded):
    box = crowded[1]
    with box.database.write() as connection:
        told = {"key": "pool_full_soon:spool", "severity": "critical", "text": "The disk is full in 3 days."}
        raise_alert(connection, **told, at=box.clock.now())
    tab = opened(crowded)
    _enter_as_administrator(tab)
    tab.get_by_text("The disk is full in 3 days.").wait_for()
    tab.get_by_role("link", name="Disks", exact=True).click()
    tab.get_by_role("img", name="The spool of the last 14 days").wait_for()
    tab.get_by_text("Day by day").first.click()
    tab.get_by_role("row").nth(10).wait_for()
    tab.get_by_role("link", name="Queue", exact=True).click()
    central = tab.get_by_role("region", name="To central")
    central.get_by_text("paused", exact=True).wait_for()
    central.get_by_role("button", name="first").first.click()
    central.get_by_text("goes first").wait_for()
    central.get_by_label("Limit in Mbit/s").fill("")
    central.get_by_role("button", name="Set").click()
    central.get_by_role("button", name="Resume").click()
    central.get_by_role("button", name="Pause").wait_for()
    central.get_by_text("local admin said so").wait_for()
    tab.get_by_role("link", name="Alerts", exact=True).click()
    alert = tab.get_by_role("listitem").filter(has_text="The disk is full in 3 days.")
    alert.get_by_label("What are you doing about it?").fill("larger disks are ordered")
    alert.get_by_role("button", name="I see to it").click()
    tab.get_by_role("link", name="Audit", exact=True).click()
    tab.get_by_text("central", exact=True).first.wait_for()
    tab.get_by_text("larger disks are ordered").wait_for()


def test_an_operator_reads_on_a_phone_and_can_change_nothing(opened):
    tab = opened(viewport={"width": 400, "height": 800})
    _enter(tab, "carl")
    for name in ("Home", "Sessions", "Review", "Tokens"):
        tab.get_by_role("link", name=name, exact=True).click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    tab.get_by_role("link", name="Sessions", exact=True).click()
    tab.get_by_role("link", name="heart_1", exact=True).click()
    tab.get_by_role("link", name="gre_heart").click()
    tab.get_by_text("proved", exact=True).wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert tab.get_by_role("button").all_inner_texts() == ["Sign out"]


def test_home_renews_itself(opened, served):
    tab = opened()
    tab.clock.install()
    _enter_as_administrator(tab)
    assert not tab.get_by_text("Raw file 2").is_visible()
    box = served[1]
    leased = {"lease_token": "x", "lease_until": box.clock.now() + timedelta(hours=1), "state": "matched"}
    with box.database.write() as connection:
        connection.execute(update(tables.capture).where(tables.capture.c.id == 2).values(leased))
    visit = max(served[0].app.state.site.visits._open.values(), key=lambda one: one.began_at)
    used_at = visit.used_at
    tab.clock.run_for(11_000)
    tab.get_by_text("Raw file 2").wait_for()
    assert visit.used_at == used_at, "an open page keeps nobody signed in"


@pytest.fixture
def scanning(tmp_path):
    """A page, and beside it an engine that looks at a share: a process of its own in all but name."""
    with page(tmp_path) as (server, box):
        with box.database.write() as connection:
            happen_now(connection, box.clock.now())
        quick = {"practice": True, "poll_s": 0.3, "quiet_s": 0.6, "patience_s": 3.0}
        scanner = box.config.scanner[0].model_copy(update=quick)
        other = Box(box.config.model_copy(update={"scanner": (scanner,)}))
        engine = other.engine()
        engine.start()
        yield (server, box), tmp_path / "share"
        engine.stop()
        other.close()


def test_a_researcher_picks_a_protocol_and_the_next_scan_is_captured_by_it(opened, scanning):
    at, share = scanning

    def state(name):
        return captures_of(at[1].database)[name]["state"]

    write_twix(share / "old.dat", measurement(71, protocol="gre_heart"))
    wait_until(lambda: state("old.dat") == "skipped", within_s=20)
    tab = opened(at)
    tab.goto("/projects/HEART")
    tab.get_by_label("Name", exact=True).fill("dora")
    tab.get_by_label("Password", exact=True).fill("doradora")
    tab.keyboard.press("Enter")
    tab.get_by_text("No rules yet").wait_for()
    tab.get_by_label("gre_heart").check()
    tab.get_by_role("button", name="Rehearse these ticks").click()
    tab.get_by_text("3 files captured").wait_for()
    tab.get_by_role("button", name="Go on changing them").click()
    tab.get_by_text("Not saved yet.").wait_for()
    tab.get_by_label("Name", exact=True).fill("all of the heart")
    tab.get_by_label("Protocols, one on a line").fill("gre_heart*")
    tab.get_by_role("button", name="Rehearse these rules").click()
    violations = Axe().run(tab).response["violations"]
    assert [one["id"] for one in violations] == []
    tab.get_by_label("Why, in a few words").fill("for the pilot")
    tab.get_by_role("button", name="Save as version 1").click()
    tab.get_by_text("Version 1 decides, saved by central/dora").wait_for()
    write_twix(share / "new.dat", measurement(72, protocol="gre_heart_2"))
    wait_until(lambda: state("new.dat") == "packed", within_s=30)
    assert state("old.dat") == "skipped", "nobody asked for it"
    with at[1].database.read() as connection:
        (decided,) = lists.story(connection, captures_of(at[1].database)["new.dat"]["id"])["decisions"]
    assert decided["reason"] == "Rule 'all of the heart' of project HEART (version 1) wants protocol 'gre_heart_2'."
    tab.get_by_role("link", name="Rules").first.click()
    tab.get_by_role("row", name="HEART").get_by_text("1 rule").wait_for()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_axe_finds_nothing_on_any_page(scheme, width, opened, crowded):
    axe, found = Axe(), {}
    tab = opened(crowded, color_scheme=scheme, viewport={"width": width, "height": 844})
    tab.goto("/sign-in")
    tab.locator("summary").click()
    found["/sign-in"] = axe.run(tab).response["violations"]
    _enter_as_administrator(tab)
    for place in PAGES:
        tab.goto(place)
        found[place] = axe.run(tab).response["violations"]
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, f"{place} is wider than its window"
    assert {place: [v["id"] for v in said] for place, said in found.items() if said} == {}
    tab.set_content("<html><img src=x><button></button></html>")
    assert axe.run(tab).violations_count > 2, "axe must be able to find something"
