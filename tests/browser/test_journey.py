"""The page in Chromium: a journey as a person takes it, and every page judged by axe-core, light and dark."""

import os
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from sqlalchemy import update

from tests.integration.webworld import LOCAL_PASSWORD, page
from transfer.app.web.signin import LOCAL
from transfer.catalog import tables

PAGES = ("/", "/sessions", "/sessions?text=none", "/sessions/1", "/captures/1", "/captures/9", "/review", "/review/500")
PAGES += ("/queue", "/pools", "/alerts", "/settings", "/audit", "/tokens", "/nowhere")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page(tmp_path_factory.mktemp("page")) as running:
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

    def window(**given):
        context = chromium.new_context(base_url=served[0].url, **given)
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
    assert tab.get_by_text("All is well").is_visible()
    tab.get_by_role("link", name="Sessions").click()
    tab.get_by_label("Label or id").fill("heart_4")
    tab.get_by_role("button", name="Show").click()
    tab.get_by_role("link", name="heart_4").click()
    assert tab.get_by_text("1 Mar 2026, 13:00").first.is_visible(), "04:00 UTC is 13:00 in Tokyo"
    tab.get_by_role("link", name="gre_heart").click()
    tab.get_by_label("Why hold it?").fill("to look at it")
    tab.get_by_role("button", name="Hold").click()
    assert tab.get_by_text("held by central/anna").is_visible()
    tab.get_by_role("link", name="Home").click()
    assert tab.get_by_text("1 needs a person").is_visible()
    tab.get_by_role("button", name="Sign out").click()
    tab.goto("/captures/4")
    assert "sign-in" in tab.url


def test_an_administrator_sees_to_an_alert_on_a_phone_without_scripts(opened):
    tab = opened(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    _enter_as_administrator(tab)
    assert tab.get_by_text("A raw file is damaged.").is_visible()
    tab.get_by_role("link", name="Alerts", exact=True).click()
    assert tab.get_by_text("2026-03-01 00:00 UTC").first.is_visible()
    alert = tab.get_by_role("listitem").filter(has_text="A raw file is damaged.")
    alert.get_by_label("What are you doing about it?").fill("exported again")
    alert.get_by_role("button", name="I see to it").click()
    assert tab.get_by_text("local admin sees to it: exported again").is_visible()


def test_home_renews_itself(opened, served):
    tab = opened()
    tab.clock.install()
    _enter_as_administrator(tab)
    assert not tab.get_by_text("Raw file 2").is_visible()
    box = served[1]
    leased = {"lease_token": "x", "lease_until": box.clock.now() + timedelta(hours=1), "state": "matched"}
    with box.database.write() as connection:
        connection.execute(update(tables.capture).where(tables.capture.c.id == 2).values(leased))
    tab.clock.run_for(11_000)
    tab.get_by_text("Raw file 2").wait_for()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_axe_finds_nothing_on_any_page(scheme, width, opened):
    axe, found = Axe(), {}
    tab = opened(color_scheme=scheme, viewport={"width": width, "height": 844})
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
