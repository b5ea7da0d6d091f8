"""What people do on the page: link and take back, pause and slow down, assign, test a connection; and what is told."""

from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import insert, update

from hardware.records import Reading
from kspace.manifest import write_manifest
from kspace.pack import pack
from kspace.preview.png import SIGNATURE
from kspace.sources.share import Share, ShareSettings
from kspace.twix.synthetic import Synthetic, write_twix
from tests.integration.webworld import AT, Browser, add_ambiguous, add_capture, page
from transfer.app.wiring import Box
from transfer.catalog import documents, tables
from transfer.catalog.notices import raise_alert
from transfer.catalog.readings import write_readings
from transfer.config import load_config


@pytest.fixture
def served(tmp_path):
    with page(tmp_path) as running:
        yield running


@pytest.fixture
def enter(served):
    """Let somebody sign in; return the browser, whose ``do`` sends a form."""
    opened = []

    class Person(Browser):
        def do(self, place, **given):
            return self.post(place, data={"form": self.form("/"), **given})

    def entered(name):
        browser = Person(served[0])
        opened.append(browser)
        assert browser.sign_in(name).status_code == 303
        return browser

    yield entered
    for browser in opened:
        browser.close()


def test_a_member_links_what_could_be_of_two_series_and_takes_it_back(served, enter, tmp_path):
    study = add_ambiguous(served[1], 500, folder=tmp_path)
    anna, berta, carl = enter("anna"), enter("berta"), enter("carl")
    assert [one["id"] for one in anna.get("/api/review").json()["waiting"]] == [500]
    assert berta.get("/api/review").json()["waiting"] == []
    assert berta.do("/review/500/link", scan=f"t{study}").status_code == 404
    assert carl.do("/review/500/link", scan=f"t{study}").status_code == 403
    told = anna.get("/api/review/500").json()
    assert (told["certainty"], len(told["candidates"]), told["may_say"], told["linked"]) == ("ambiguous", 2, True, None)
    assert all(one["evidence"] and one["study_id"] == study for one in told["candidates"])
    second = next(one for one in told["candidates"] if one["number"] == 2)
    for foreign in ("t2", "s2", "s999", "x"):
        assert anna.do("/review/500/link", scan=foreign).status_code == 400
    assert anna.do("/review/500/link", scan=second["name"]).status_code == 303
    linked = anna.get("/api/review/500").json()
    assert (linked["linked"]["actor"], linked["state"], linked["may_undo"]) == ("central/anna", "matched", True)
    assert linked["linked"]["series_uid"] == "1.2.500.2"
    assert anna.get("/api/review").json()["waiting"] == []
    assert anna.do("/review/500/undo").status_code == 303
    assert anna.get("/api/review/500").json()["linked"] is None
    assert anna.do("/review/500/undo").status_code == 400, "there is nothing more to undo"
    assert "by central/anna" in anna.get("/captures/500").text


def test_what_is_unlinked_stays_in_its_sessions_ledger_and_its_members_sight(served, enter):
    anna = enter("anna")
    assert anna.get("/api/sessions/1").json()["badge"] == "complete"
    assert anna.do("/review/1/unlink").status_code == 303
    assert anna.get("/review/1").status_code == 200
    told = anna.get("/api/sessions/1").json()
    assert (told["badge"], [one["id"] for one in told["measurements"]]) == ("needs a person", [1])
    assert anna.do("/review/1/undo").status_code == 303
    assert anna.get("/api/sessions/1").json()["badge"] == "on its way", "it is sent anew"


def test_what_late_images_put_in_doubt_needs_a_person_on_everybodys_home(served, enter):
    box = served[1]
    anna, berta = enter("anna"), enter("berta")
    with box.database.write() as connection:
        raise_alert(connection, key="doubt:1", severity="warning", text="It may be of another.", at=box.clock.now())
    assert anna.get("/api/sessions/1").json()["badge"] == "needs a person"
    told = [one.get("/api/home").json()["needs_a_person"]["number"] for one in (anna, berta)]
    assert told == [1, 0], "who sees the session is told"


def test_what_was_placed_here_and_linked_elsewhere_is_seen_there_alone(served, enter, tmp_path):
    add_ambiguous(served[1], 500, folder=tmp_path)
    anna, berta, boss = enter("anna"), enter("berta"), enter("boss")
    assert [one.get("/api/captures/500").status_code for one in (anna, berta)] == [200, 404]
    assert boss.do("/review/500/link", scan="t2").status_code == 303
    assert [one.get("/api/captures/500").status_code for one in (anna, berta)] == [404, 200]


def test_the_desk_goes_on_by_cursor_and_shows_images_without_raw(served, enter, tmp_path):
    box = served[1]
    for number in range(500, 530):
        add_ambiguous(box, number, folder=tmp_path)
    boss = enter("boss")
    first = boss.get("/api/review").json()
    rest = boss.get(f"/api/review?after={first['after']}").json()
    assert [one["id"] for one in first["waiting"] + rest["waiting"]] == [*range(529, 499, -1)]
    assert rest["after"] is None
    with box.database.write() as connection:
        connection.execute(tables.belonging.delete().where(tables.belonging.c.capture_id == 500))
    assert [one["session"] for one in boss.get("/api/review").json()["images_alone"]] == ["heart_500"]


def test_a_pause_and_a_limit_are_obeyed_and_outlive_a_restart(served, enter, tmp_path):
    _, box = served
    boss = enter("boss")
    (way,), manners = box._ways(), box.manners()["prisma"]
    assert way.is_open()
    assert manners.waits() is None
    for what in ("destination:central", "scanner:prisma"):
        assert boss.do("/queue/steer", what=what, act="pause").status_code == 303
        assert boss.do("/queue/steer", what=what, act="limit", mbit_per_s="25").status_code == 303
    told = {one["line"]: one for one in boss.get("/api/queue").json()["lines"]}
    assert all(one["is_paused"] and one["limit_mbit_per_s"] == 25 for one in told.values())
    assert told["scanner:prisma"]["said_by"] == "central/boss"
    assert "central/boss paused destination central" in boss.get("/").text
    again = Box(load_config(tmp_path / "relay.toml"))
    assert not again._ways()[0].is_open()
    assert "central/boss paused" in again.manners()["prisma"].waits().reason
    assert again._rate(again.config.scanner[0]) == 25
    assert again.throttles.limit("destination:central") == 25
    again.close()
    for what in ("destination:central", "scanner:prisma"):
        boss.do("/queue/steer", what=what, act="resume")
        boss.do("/queue/steer", what=what, act="limit", mbit_per_s="")
    for _ in range(100):
        if way.is_open() and manners.waits() is None:
            break
        Event().wait(0.1)
    assert way.is_open()
    assert manners.waits() is None
    assert box._rate(box.config.scanner[0]) == 250


@pytest.mark.parametrize("rate", ["251", "0", "-1", "fast", "nan"])
def test_no_limit_above_the_configured_one_and_none_that_stops_all(rate, enter):
    boss = enter("boss")
    assert boss.do("/queue/steer", what="scanner:prisma", act="limit", mbit_per_s=rate).status_code == 400
    assert boss.get("/api/queue").json()["lines"][0]["limit_mbit_per_s"] is None
    assert boss.do("/queue/steer", what="destination:central", act="limit", mbit_per_s="inf").status_code == 400


def test_a_line_shows_its_turns_in_order_and_what_is_preferred_goes_first(served, enter):
    _, box = served
    with box.database.write() as connection:
        for number in range(100, 220):
            add_capture(connection, number, "x", state="settled", manifest=None)
        of_it = tables.source_file.c.id >= 100
        connection.execute(update(tables.source_file).where(of_it).values(scanner="prisma"))
    boss = enter("boss")
    assert boss.do("/queue/turn", reference="150", turn="first").status_code == 303
    assert boss.do("/queue/turn", reference="100", turn="last").status_code == 303
    seen, after = [], ""
    while after is not None:
        told = boss.get("/api/queue", params={"line": "scanner:prisma", "after": after}).json()
        seen += [one["id"] for one in told["lines"][0]["turns"]]
        after = told["after"]
    assert seen == [150, *(n for n in range(101, 220) if n != 150), 100]


def test_an_administrator_says_where_a_session_without_a_route_goes(served, enter):
    _, box = served
    study = {"id": 77, "study_uid": "1.2.77", "called_ae": "A", "calling_ae": "B", "first_arrival_at": AT}
    with box.database.write() as connection:
        document = {"study_uid": "1.2.77", "date": "20260301"}
        connection.execute(insert(tables.study).values(**study, last_arrival_at=AT, document=document))
    boss = enter("boss")
    assert "No route fits" in boss.get("/sessions/77").text
    assert boss.do("/sessions/77/assign", destination="nowhere", project="HEART").status_code == 400
    assert boss.do("/sessions/77/assign", destination="central", project="a b").status_code == 400
    answer = boss.do("/sessions/77/assign", destination="central", project="HEART")
    assert "are not on this machine" in answer.text, "of a study without files nothing is sent"


def test_a_quick_look_is_drawn_from_what_was_packed_and_kept(served, enter, tmp_path):
    _, box = served
    write_twix(tmp_path / "share" / "a.dat", Synthetic())
    source = Share(ShareSettings(path=tmp_path / "share"))
    (file,) = source.find()
    with source.open(file.path) as reader:
        packed = pack(reader, size=file.size, target=box.config.relay.spool / "00000001.packed")
    kept = {
        "manifest": write_manifest(packed, source_name=None),
        "sha256": packed.sha256,
        "stored_bytes": packed.stored_bytes,
    }
    kept |= {"verdict": packed.audit.verdict, "verdict_reason": packed.audit.reason, "verdict_position": 0}
    with box.database.write() as connection:
        connection.execute(update(tables.capture).where(tables.capture.c.id == 1).values(kept))
        image = documents.to_document(packed.measurements[-1])
        of_it = tables.measurement.c.capture_id == 1
        connection.execute(update(tables.measurement).where(of_it).values(document=image))
    anna, berta = enter("anna"), enter("berta")
    assert anna.get("/api/captures/1").json()["may_draw"]
    assert anna.do("/captures/1/quick-look").status_code == 303
    told = anna.get("/api/captures/1").json()
    assert (told["may_draw"], told["quick_look"]["kind"], told["quick_look"]["channels"]) == (False, "image", 4)
    picture = anna.get("/captures/1/quick-look.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(SIGNATURE)
    assert berta.get("/captures/1/quick-look.png").status_code == 404
    assert [path.name for path in (tmp_path / "relay/quick-looks").iterdir() if path.is_dir()] == []


def test_each_connection_is_tried_a_limited_number_of_times(enter):
    boss = enter("boss")
    told = boss.get("/api/settings").json()
    assert {"spool", "clock", "source prisma/1", "destination central"} <= set(told["tests"])
    assert "Tried: destination central" in boss.do("/settings/test", item="destination central").text
    said = [boss.do("/settings/test", item="spool").status_code for _ in range(7)]
    assert said == [200] * 6 + [400]
    assert boss.do("/settings/test", item="source prisma/1").status_code == 200
    assert boss.do("/settings/test", item="source ../..").status_code == 400


def test_the_settings_tell_where_a_secret_stands_and_never_the_secret(enter, tmp_path):
    (tmp_path / "password").write_text("relay-secret-word")
    text = enter("boss").get("/api/settings").text
    assert str(tmp_path / "password") in text
    assert "relay-secret-word" not in text
    assert "scrypt$" not in text


def test_the_audit_tells_who_did_what_page_by_page(enter):
    boss, anna = enter("boss"), enter("anna")
    for _ in range(27):
        anna.do("/captures/4/hold", reason="to look at it")
        anna.do("/captures/4/retry")
    held = boss.get("/api/audit?actor=central/anna&subject=capture").json()
    assert len(held["acts"]) == 50
    rest = boss.get(f"/api/audit?actor=central/anna&subject=capture&after={held['after']}").json()
    acts = held["acts"] + rest["acts"]
    assert len(acts) == 54
    assert {(one["actor"], one["subject_id"]) for one in acts} == {("central/anna", 4)}
    assert {one["verb"] for one in acts} == {"capture.held", "capture.retried"}
    everybody = boss.get("/api/audit").json()["acts"]
    assert "relay" not in {one["actor"] for one in everybody}
    assert {one["actor"] for one in boss.get("/api/audit?actor=relay").json()["acts"]} == {"relay"}
    assert boss.get("/api/audit?since=2026-02-31").status_code == 400
    assert boss.get("/api/audit?subject=nothing").status_code == 422


def test_alerts_go_on_by_cursor(served, enter):
    with served[1].database.write() as connection:
        for number in range(60):
            raise_alert(connection, key=f"x:{number}", severity="warning", text="It is so.", at=AT)
    boss = enter("boss")
    first = boss.get("/api/alerts").json()
    rest = boss.get(f"/api/alerts?after={first['after']}").json()
    assert (len(first["alerts"]), len(rest["alerts"]), rest["after"]) == (50, 11, None)


def test_disks_have_a_history_as_picture_and_as_numbers(served, enter):
    box, boss = served[1], enter("boss")
    assert "There is no history yet" in boss.get("/pools").text
    now = box.clock.now()
    with box.database.write() as connection:
        for day in range(5, -1, -1):
            grown = [Reading(what="pool_used_bytes", of="spool", value=(6 - day) * 1e9)]
            at = now - timedelta(days=day)
            write_readings(
                connection, [*grown, Reading(what="disk_is_healthy", of="sdz", value=0.0)], machine="page-box", at=at
            )
    told = boss.get("/api/pools").json()
    assert [value for _, value in told["histories"][0]["points"]] == [n * 1e9 for n in range(1, 7)]
    assert told["pools"][0]["bytes_per_day"] == pytest.approx(1e9)
    assert [(one["of"], one["is_well"]) for one in told["readings"]] == [("sdz", False)]
    text = boss.get("/pools").text
    assert 'role="img" aria-label="The spool of the last 14 days: from 1.0 GB to 6.0 GB' in text
    assert text.count('class="curve"') == 1
    assert "Grows by 1.0 GB a day" in text


def test_home_says_by_when_a_scanner_overwrites_what_it_alone_has(served, enter):
    box = served[1]
    now = box.clock.now()
    with box.database.write() as connection:
        for number in range(100, 140):
            add_capture(connection, number, "x", state="settled" if number > 130 else "skipped", manifest=None)
            born = now - timedelta(hours=140 - number)
            seen = {"mtime_ns": int(born.timestamp() * 1e9), "first_seen_at": born, "size": 10**9}
            seen |= {"gone_at": born + timedelta(hours=20) if number < 120 else None}
            of_it = tables.source_file.c.id == number
            connection.execute(update(tables.source_file).where(of_it).values(seen))
    told = enter("boss").get("/api/home").json()
    assert [one["id"] for one in told["at_risk"]["oldest"]][:2] == [131, 132]
    assert told["at_risk"]["first_in_s"] == pytest.approx(11 * 3600, rel=0.2)
    assert told["at_risk"]["number"] >= 2
