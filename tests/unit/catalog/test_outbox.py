"""From alerts to messages: gathered, reminded, acknowledged, quiet by night, kept through outages."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from hardware.sinks import Message, NotTold, SinkSettings, Told
from kspace.errors import NotFound
from transfer.catalog import lists, outbox
from transfer.catalog.notices import acknowledge, clear_alert, raise_alert
from transfer.feeds.hand_over import HandingOver
from transfer.feeds.tell import remind_again, tell

HOUR = 3600.0


@dataclass
class Wall:
    """A sink that keeps what it is told, unless it is down."""

    is_down: bool = False
    problem: str | None = None
    left: tuple[str, ...] = ()
    got: list[Message] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    def answers(self) -> None:
        """Say nothing."""

    def tell(self, message: Message) -> Told:
        self.tried.append(message.id)
        if self.is_down:
            raise NotTold("The wall is down.")
        self.got.append(message)
        return Told(answer="read", problem=self.problem, left=self.left)


@dataclass
class World:
    database: object
    clock: object
    walls: dict[str, Wall]
    settings: dict[str, SinkSettings]

    def __post_init__(self) -> None:
        here = {"database": self.database, "clock": self.clock, "relay": "box-1", "site": "north"}
        self.feeds = [HandingOver(self.walls[n], s, **here) for n, s in self.settings.items()]

    def raised(self, *keys: str, severity: str = "warning") -> None:
        with self.database.write() as connection:
            for key in keys:
                raise_alert(connection, key=key, severity=severity, text=f"About {key}.", at=self.clock.now())

    def over(self, *keys: str) -> None:
        with self.database.write() as connection:
            for key in keys:
                clear_alert(connection, key=key, at=self.clock.now())

    def ack(self, key: str) -> list[str]:
        with self.database.write() as connection:
            return acknowledge(connection, key, note_="on it", actor="ada", at=self.clock.now())

    def turn(self, seconds: float = 0.0) -> list[str]:
        """Let time pass and every feed run once; return what came, as kind and number open."""
        self.clock.sleep(seconds)
        before = {n: len(w.got) for n, w in self.walls.items()}
        told = {"database": self.database, "clock": self.clock}
        tell(self.settings, **told)
        remind_again(self.settings, **told)
        for feed in self.feeds:
            feed()
        return [f"{n}: {m.kind} {m.count}" for n, w in self.walls.items() for m in w.got[before[n] :]]


@pytest.fixture
def world(database, clock):
    def made(**sinks: dict) -> World:
        given = sinks or {"wall": {}}
        settings = {name: SinkSettings(name=name, **more) for name, more in given.items()}
        return World(database, clock, {name: Wall() for name in given}, settings)

    return made


def test_a_thousand_alerts_of_one_trouble_are_one_message_with_a_count(world):
    w = world()
    w.raised(*(f"delivery:{n}" for n in range(1000)))
    assert w.turn() == []
    assert w.turn(31) == ["wall: alert 1000"]
    (message,) = w.walls["wall"].got
    assert message.subject == "[box-1] warning: 1,000 alerts of delivery: About delivery:999."
    assert "delivery: 1,000 new." in message.text
    assert "And 995 more; `kspace alerts` lists them." in message.text
    assert message.text.count("About delivery:") == len(message.alerts) == 5
    assert "relay box-1, site north" in message.text


def test_what_is_critical_does_not_wait_and_what_follows_is_gathered(world):
    w = world()
    w.raised("lost:1", severity="critical")
    assert w.turn() == ["wall: alert 1"]
    w.raised("lost:2", "lost:3", severity="critical")
    assert w.turn(60) == []
    assert w.turn(541) == ["wall: alert 3"]
    assert "lost: 2 new, 1 still open." in w.walls["wall"].got[-1].text


def test_a_worse_turn_is_told_at_once_and_the_end_too(world):
    w = world()
    w.raised("pool:spool", severity="warning")
    assert w.turn() == []
    assert w.turn(30) == ["wall: alert 1"]
    w.raised("pool:spool", severity="critical")
    assert w.turn(1) == ["wall: alert 1"]
    w.over("pool:spool")
    assert w.turn(60) == []
    assert w.turn(540) == ["wall: over 0"]
    subjects = [m.subject for m in w.walls["wall"].got]
    assert subjects == [f"[box-1] {word}: About pool:spool." for word in ("warning", "critical", "over")]


def test_reminders_come_at_growing_gaps_until_somebody_acknowledges(world):
    w = world()
    w.raised("capture:1", "capture:2")
    w.turn()
    w.turn(31)
    came = [hour for hour in range(1, 40) if w.turn(HOUR)]
    assert came == [4, 12, 28]  # 4 hours, 8, 16
    assert {m.kind for m in w.walls["wall"].got[1:]} == {"reminder"}
    assert w.ack("capture:1") == ["capture:1"]
    assert [m for _ in range(3) for m in w.turn(24 * HOUR)] == ["wall: reminder 1"]
    assert w.ack("capture") == ["capture:1", "capture:2"]
    assert [m for _ in range(30) for m in w.turn(24 * HOUR)] == []


def test_an_acknowledgement_ends_with_the_severity_and_with_the_alert(world):
    w = world()
    w.raised("pool:spool")
    w.turn()
    w.turn(31)
    w.ack("pool:spool")
    w.raised("pool:spool", severity="critical")
    assert w.turn(700) == ["wall: alert 1"]
    assert w.turn(4 * HOUR) == ["wall: reminder 1"]
    w.ack("pool:spool")
    w.over("pool:spool")
    w.turn(700)
    w.raised("pool:spool", severity="critical")
    w.turn(700)
    assert w.turn(4 * HOUR) == ["wall: reminder 1"]
    with w.database.read() as connection:
        by = [(a["actor"], a["note"]) for a in lists.alerts(connection, open_only=False)]
        events = connection.exec_driver_sql("SELECT actor, verb, detail FROM event").all()
    assert by == [(None, None), ("ada", "on it")]
    assert [tuple(e) for e in events] == [("ada", "alert.acknowledged", "on it")] * 2


def test_what_is_not_open_cannot_be_acknowledged(world):
    w = world()
    w.raised("capture:12")
    for key in ("capture:1", "capt", "capture:%", "delivery"):
        with pytest.raises(NotFound, match="kspace alerts"):
            w.ack(key)


def test_information_is_repeated_once_a_week(world):
    w = world()
    w.raised("waiting:1", severity="info")
    w.turn()
    w.turn(31)
    assert [day for day in range(1, 16) if w.turn(24 * HOUR)] == [7, 14]


def test_a_dead_sink_keeps_no_other_waiting_and_is_told_by_the_others(world):
    w = world(dead={}, wall={})
    w.walls["dead"].is_down = True
    w.raised("capture:1")
    w.turn()
    came = [m for _ in range(6) for m in w.turn(35)]
    assert came == ["wall: alert 1", "wall: alert 1"]
    assert w.walls["wall"].got[-1].topic == "sink:dead"
    assert "Not everybody is told by dead: The wall is down." in w.walls["wall"].got[-1].text
    with w.database.read() as connection:
        dead, wall = outbox.standing(connection, ["dead", "wall"])
    assert (dead["waiting"], dead["failing"], dead["problem"]) == (1, 1, "The wall is down.")
    assert (wall["waiting"], wall["answer"]) == (0, "read")
    w.walls["dead"].is_down = False
    assert w.turn(HOUR) == ["dead: alert 1"]
    assert [m.id for m in w.walls["dead"].got] == [w.walls["dead"].tried[0]], "the same message under its first id"
    w.turn()
    assert w.turn(700) == ["wall: over 0"]


def test_after_an_outage_one_message_a_topic_tells_all_that_was_missed(world):
    w = world()
    w.walls["wall"].is_down = True
    w.raised("capture:1", "source:a")
    w.turn()
    for number in range(2, 6):
        w.turn(HOUR)
        w.raised(f"capture:{number}")
        w.over(f"capture:{number - 1}")
    w.turn(HOUR)
    w.turn(HOUR)
    w.walls["wall"].is_down = False
    w.turn(HOUR)
    by_topic = {m.topic: m for m in w.walls["wall"].got}
    assert len(w.walls["wall"].got) == len(by_topic) == 2
    told = {a.key: a.cleared_at is None for a in by_topic["capture"].alerts}
    assert told == {f"capture:{n}": n == 5 for n in range(1, 6)}


def test_quiet_hours_hold_back_all_but_what_is_critical(world, clock):
    w = world(wall={"quiet": ["20:00-07:00"], "time_zone": "UTC"})
    clock.sleep(9 * HOUR)  # 21:00
    w.raised("capture:1", "capture:2")
    w.raised("lost:1", severity="critical")
    assert w.turn() == ["wall: alert 1"]
    assert [m for _ in range(9) for m in w.turn(HOUR)] == ["wall: reminder 1"]  # of what is critical
    w.over("capture:1")
    w.turn()
    assert "wall: alert 1" in w.turn(HOUR)
    assert {a.key for a in w.walls["wall"].got[-1].alerts} | {a.key for a in w.walls["wall"].got[-2].alerts} >= {
        "capture:1",
        "capture:2",
    }


def test_a_sink_is_told_nothing_less_severe_than_it_asks_for(world):
    w = world(pager={"least": "critical"}, wall={})
    w.raised("capture:1")
    w.raised("lost:1", severity="critical")
    w.turn()
    w.turn(31)
    assert [m.topic for m in w.walls["pager"].got] == ["lost"]
    assert [m.topic for m in w.walls["wall"].got] == ["lost", "capture"]


def test_a_refused_recipient_is_an_alert_though_the_message_was_taken(world):
    w = world(mail={}, wall={})
    w.walls["mail"].problem = "gone@example.org was refused"
    w.raised("lost:1", severity="critical")
    w.turn()
    w.turn(1)
    assert w.turn(31) == ["wall: alert 1"]
    assert w.walls["mail"].tried == [w.walls["mail"].got[0].id], "it is not sent again"


def test_two_relays_on_one_catalog_tell_everything_once(world, database, clock):
    one = world()
    two = World(database, clock, one.walls, one.settings)
    one.raised("capture:1")
    for w in (one, two):
        tell(w.settings, database=database, clock=clock)
    clock.sleep(timedelta(seconds=31).total_seconds())
    for feed in (*one.feeds, *two.feeds):
        feed()
    assert [m.count for m in one.walls["wall"].got] == [1]


def test_a_sink_that_is_new_is_told_what_is_open_already(world, database, clock):
    old = world(wall={})
    old.raised("capture:1")
    old.turn()
    old.turn(31)
    both = World(database, clock, {"wall": Wall(), "new": Wall()}, {n: SinkSettings(name=n) for n in ("wall", "new")})
    assert both.turn(1) == ["new: reminder 1"]
    assert both.turn(60) == []


def test_a_message_is_kept_for_those_who_were_refused_for_a_while_and_no_one_else(world):
    w = world()
    wall = w.walls["wall"]
    wall.left, wall.problem = ("b@x.example",), "b@x.example (status 450)"
    w.raised("pool:spool")
    w.turn()
    assert w.turn(31) == ["wall: alert 1"]
    assert w.turn(5) == []
    (row,) = outbox_rows(w)
    assert (row["waiting"], row["failing"], row["answer"]) == (1, 1, None)
    wall.left, wall.problem = (), None
    assert w.turn(15) == ["wall: alert 1"]
    assert [message.only for message in wall.got] == [(), ("b@x.example",)]
    assert len(set(wall.tried)) == 1, "under the same id"
    assert w.turn(HOUR) == []


def outbox_rows(w):
    with w.database.read() as connection:
        return outbox.standing(connection, ["wall"])
