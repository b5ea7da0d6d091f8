"""A relay's page over a catalog with two projects, and a sandbox archive whose people sign in with their accounts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, insert, select, update

from dicom.records import Instance, Series, Study
from kspace.records import Measurement
from transfer.app.web.server import WebServer
from transfer.app.web.signin import hashed
from transfer.app.wiring import Box
from transfer.catalog import documents
from transfer.catalog import tables as t
from transfer.catalog.arrivals import Arrival, record_arrivals
from transfer.catalog.notices import note, raise_alert
from transfer.config import load_config
from transfer.routing import Target
from transfer.sandbox import Sandbox, SandboxSettings
from transfer.sandbox.settings import Project, User

AT = datetime(2026, 3, 1, tzinfo=UTC)
LOCAL_PASSWORD = "correct horse battery staple"
PEOPLE = {
    "anna": {"HEART": "member"},
    "berta": {"BRAIN": "owner"},
    "carl": {"HEART": "collaborator"},
    "dora": {"HEART": "owner", "BRAIN": "member"},
}
"""Who has which role where; a password is the name twice."""
_CONFIG = """
[relay]
name = "page-box"
folder = "{folder}/relay"
{catalog}

[[scanner]]
name = "prisma"
source = [{{ kind = "share", path = "{folder}/share" }}]

[[destination]]
name = "central"
kind = "xnat"
url = "{url}"
user = "relay"
password = {{ file = "{folder}/password" }}

[web]
bind = "127.0.0.1:0"
sign_in = {sign_in}
admins = ["central/boss"]
local_admin = {{ file = "{folder}/hash" }}
"""


def _work(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "since_at": AT, "due_at": AT, **more}


def add_session(
    connection: Connection, number: int, projects: list[str], *, state: str = "retired", **more: Any
) -> None:
    """Write a study of which one raw file was joined, delivered to projects; all are named after the first."""
    name, at, uid = projects[0].lower(), AT + timedelta(hours=number), f"1.2.{number}"
    study = {"id": number, "study_uid": uid, "called_ae": "A", "calling_ae": "B", "first_arrival_at": at}
    connection.execute(insert(t.study).values(**study, last_arrival_at=at, document={"date": "20260301"}))
    told = {"document": {"description": name}, "told": {}, "called_ae": "A", "calling_ae": "B"}
    series = {"study_id": number, "series_uid": f"{uid}.1", "number": 1, "protocol": f"gre_{name}", "serial": "1"}
    connection.execute(insert(t.series).values(**series, **told))
    add_capture(connection, number, name, state=state, **more)
    joined = {"certainty": "certain", "reason": f"keys of {name} agree", "actor": "relay", "at": at}
    match = {"capture_id": number, "study_id": number, "series_uid": f"{uid}.1", **joined}
    match_id = connection.execute(insert(t.match).values(**match).returning(t.match.c.id)).scalar_one()
    clue = {"match_id": match_id, "series_uid": f"{uid}.1", "clue": "visit", "weight": "strong", "detail": f"of {name}"}
    connection.execute(insert(t.evidence).values(**clue))
    for place, project in enumerate(projects):
        destination = ("central", "second")[place]
        goes = {"study_id": number, "destination": destination, "project": project, "session": f"{name}_{number}"}
        connection.execute(insert(t.delivery).values(kind="dicom", **goes, **_work("verified", verified_at=at)))
        proved = _work("verified", verified_at=at, place=f"/data/{name}/{number}")
        sent = insert(t.delivery).values(kind="raw", capture_id=number, **goes, **proved).returning(t.delivery.c.id)
        of_it = {"delivery_id": connection.execute(sent).scalar_one()}
        part = {"number": 0, "name": "part-0", "offset": 0, "size": 3_000_000, "md5": "0" * 32, "sha256": "0" * 64}
        connection.execute(insert(t.part).values(**of_it, **part))
        connection.execute(insert(t.receipt).values(**of_it, document=f'{{"of": "{name}"}}'.encode(), at=at))


def add_capture(connection: Connection, number: int, name: str, *, state: str, **more: Any) -> None:
    """Write a raw file that was seen."""
    seen = {
        "scanner": f"scanner-{name}",
        "source": "s/1",
        "scope": "store",
        "path": f"{name}-{number}.dat",
        "version": 1,
    }
    file = {"id": number, **seen, "size": 5_000_000, "mtime_ns": 1, "changed_at": AT, "first_seen_at": AT}
    connection.execute(insert(t.source_file).values(**file))
    packed = {"manifest": b"{}", "sha256": f"{number:064}", "stored_bytes": 3_000_000} | more
    connection.execute(insert(t.capture).values(id=number, source_file_id=number, **_work(state), **packed))
    inside = {"capture_id": number, "number": 0, "mid": number, "serial": "1", "protocol": f"gre_{name}"}
    held = {"mid": number, "protocol": f"gre_{name}", "index": 0, "offset": 0, "header_bytes": 9, "baseline": "XA"}
    connection.execute(insert(t.measurement).values(**inside, document=documents.to_document(Measurement(**held))))
    chosen = {"step": "capture", "is_wanted": True, "rule": name, "reason": f"project {name} wants it", "at": AT}
    connection.execute(insert(t.decision).values(capture_id=number, **chosen))
    about = {"subject": "capture", "subject_id": number, "verb": "capture.found", "detail": f"file of {name}"}
    note(connection, at=AT, actor="relay", **about)


def fill(connection: Connection) -> None:
    """Write session 1 of HEART, 2 of BRAIN, 3 of both; 4 is a raw file of HEART that waits; 9 has no session."""
    add_session(connection, 1, ["HEART"])
    add_session(connection, 2, ["BRAIN"])
    add_session(connection, 3, ["HEART", "BRAIN"])
    add_session(connection, 4, ["HEART"], state="planned")
    add_capture(connection, 9, "nobody", state="held", manifest=None, reason="It is damaged.", held_from="found")
    raise_alert(connection, key="capture:9", severity="warning", text="A raw file is damaged.", at=AT)


def happen_now(connection: Connection, at: datetime) -> None:
    """Let every session and every raw file be of this moment: what is asked of the last weeks finds them."""
    connection.execute(update(t.study).values(first_arrival_at=at, last_arrival_at=at))
    connection.execute(update(t.source_file).values(first_seen_at=at))


@contextmanager
def page(folder: Path, *, catalog: str = "", second: bool = False) -> Iterator[tuple[WebServer, Box]]:
    """Serve the page, and the archive that people sign in with; with a ``second`` one, which is the same once more."""
    people = [User(name=name, password=name * 2, roles=roles) for name, roles in PEOPLE.items()]
    people += [User(name="boss", password="bossboss"), User(name="relay", password="relay")]
    projects = (Project(id="HEART"), Project(id="BRAIN"))
    with Sandbox(folder / "archive", SandboxSettings(users=tuple(people), projects=projects)) as sandbox:
        (folder / "share").mkdir()
        (folder / "password").write_text("relay")
        (folder / "hash").write_text(hashed(LOCAL_PASSWORD))
        given = {"folder": folder, "url": sandbox.url, "catalog": f'catalog = "{catalog}"' if catalog else ""}
        text = _CONFIG.format(**given, sign_in='["central", "second"]' if second else '["central"]')
        more = text[text.index("[[destination]]") : text.index("[web]")].replace('"central"', '"second"')
        (folder / "relay.toml").write_text(text + (more if second else ""))
        box = Box(load_config(folder / "relay.toml"))
        with box.database.write() as connection:
            fill(connection)
        server = WebServer(box)
        server.start()
        try:
            yield server, box
        finally:
            server.stop()
            box.close()


class Browser(httpx.Client):
    """Somebody's browser, as far as HTTP goes: cookies, and the token of the last form."""

    def __init__(self, server: WebServer, **given: Any) -> None:
        super().__init__(base_url=server.url, trust_env=False, timeout=30, **given)

    def form(self, place: str) -> str:
        """Return the token of a page's form."""
        found = re.search(r'name="form" value="([^"]+)"', self.get(place).text)
        return found[1] if found else ""

    def sign_in(self, name: str, password: str | None = None, **more: str) -> httpx.Response:
        """Fill in the door's form."""
        given = {"where": "central", "user": name, "password": password or name * 2, "form": self.form("/sign-in")}
        return self.post("/sign-in", data=given | more)


def add_ambiguous(box: Box, number: int, *, folder: Path, project: str = "HEART") -> int:
    """Let images of two series arrive of which a raw file could be either, and the file; return their study's id."""
    study, protocol = f"1.2.{number}", "cine_retro"
    frame = f"1.3.12.2.1107.5.2.43.4711.1.20260301080000{number:03}.0.0.0"
    told = {"study_uid": study, "protocol": protocol, "serial": "4711", "frame_of_reference": frame}
    for series in (1, 2):
        path = folder / f"{number}-{series}.dcm"
        path.write_bytes(b"image")
        arrival = Arrival(
            study=Study(study_uid=study, date="20260301"),
            series=Series(series_uid=f"{study}.{series}", number=series, description=f"cine {series}", **told),
            instance=Instance(sop_uid=f"{study}.{series}.1", sop_class="1.2", transfer_syntax="1.2", number=1),
            path=path,
            size=5,
            sha256=f"{number}{series}".ljust(64, "0"),
            called_ae="KSPACE",
            calling_ae="SCANNER",
        )
        goes = {"project": project, "subject": "S", "session": f"{project.lower()}_{number}", "route": "r", "why": "x"}
        target = Target(destination="central", **goes)
        record_arrivals(box.database, [(arrival, [target])], machine="page-box", clock=box.clock, quiet_s=1.0)
    with box.database.write() as connection:
        found = select(t.study.c.id).where(t.study.c.study_uid == study)
        study_id: int = connection.execute(found).scalar_one()
        waits = "Two series of the session could be it, and nothing tells them apart."
        add_capture(connection, number, "heart", state="packed", reason=waits)
        image = {"mid": number, "protocol": protocol, "serial": "4711", "index": 0, "offset": 0, "header_bytes": 9}
        document = documents.to_document(Measurement(**image, baseline="XA", frame_of_reference=frame))
        of_it = t.measurement.c.capture_id == number
        connection.execute(
            update(t.measurement).where(of_it).values(serial="4711", protocol=protocol, document=document)
        )
        connection.execute(insert(t.belonging).values(capture_id=number, study_id=study_id))
    return study_id
