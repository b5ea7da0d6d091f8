"""`kspace alerts`: what a person must know, who sees to it, and whether anybody can be told."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

import typer

from hardware.records import Severity
from hardware.sinks import Message
from kspace.errors import BadInput, KspaceError, NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, actor, console, open_box, print_json
from transfer.catalog import lists, outbox
from transfer.catalog.notices import acknowledge

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
_TEXT = (
    "This is a test of the k-space relay. Somebody asked for it on the command line; nothing is the matter.\n"
    "If you read this, alerts reach you by this way."
)


class NotTaken(KspaceError):
    """A sink did not take the test."""

    code = "not_taken"
    exit_code = 7


@app.callback()
def alerts(
    context: typer.Context,
    config: ConfigPath = DEFAULT_CONFIG,
    history: Annotated[bool, typer.Option("--history", help="Also those that are over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show open alerts, who acknowledged them, and where each sink stands; ack, test.

    `kspace alerts ack KEY --note …` says that you see to it; `kspace alerts test` tries every sink.
    """
    if context.invoked_subcommand is not None:
        return
    box = open_box(config)
    with box.database.read() as connection:
        found = lists.alerts(connection, open_only=not history)
        standing = outbox.standing(connection, [name for name in box.sinks() if name != "log"])
    box.close()
    if as_json:
        print_json({"alerts": found, "sinks": standing})
        return
    for line in (line for row in found for line in _lines(row)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not found:
        console.print("No alert is open.")
    for sink in standing:
        console.print(_said(sink), highlight=False, markup=False, soft_wrap=True)


@app.command("ack")
def ack(
    key: Annotated[str, typer.Argument(help="The alert's key, or a topic such as capture for all of it.")],
    note: Annotated[str, typer.Option(help="What is being done, in a few words without patient data.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Say that you see to an alert: it stays open, and nobody is reminded.

    Until it is raised anew or changes its severity.
    """
    if not note.strip():
        raise BadInput("A note says what is being done; give a few words.")
    box = open_box(config)
    with box.database.write() as connection:
        keys = acknowledge(connection, key, note_=note.strip(), actor=actor(), at=box.clock.now())
    box.close()
    typer.echo(f"Acknowledged by {actor()}: {', '.join(keys)}.")


@app.command("test")
def try_out(
    config: ConfigPath = DEFAULT_CONFIG,
    sink: Annotated[str | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """Send a test to every sink now, and say whether it was taken."""
    box = open_box(config)
    built = box.sinks()
    names = [name for name in built if name != "log"] if sink is None else [sink]
    box.close()
    if sink is not None and sink not in built:
        raise NotFound(f"No sink is called {sink!r}; there are: {', '.join(built)}.")
    if not names:
        raise NotFound("No sink is configured besides the log; add a [[sink]] to the configuration.")
    refused = []
    for name in names:
        try:
            told = built[name][1].tell(_message(box.config.relay.name, box.config.relay.site, box.clock.now()))
        except KspaceError as error:
            refused.append(name)
            typer.echo(f"{name}: NOT taken. {error}")
        else:
            typer.echo(f"{name}: taken. {told.answer}" + (f". BUT {told.problem}" if told.problem else ""))
            refused += [name] if told.problem else []
    if refused:
        raise NotTaken(f"By {', '.join(refused)} an alert would not reach everybody now.")


def _message(relay: str, site: str, at: datetime) -> Message:
    return Message(
        id=f"test.{uuid4().hex}",
        kind="test",
        topic="test",
        severity=Severity.INFO,
        relay=relay,
        site=site,
        at=at,
        subject=f"[{relay}] test: alerts reach you",
        text=f"{_TEXT}\n\nTold by relay {relay}" + (f", site {site}" if site else "") + ".\n",
    )


def _lines(row: lists.Row) -> tuple[str, str]:
    over = f", over since {_clock(row['cleared_at'])}" if row["cleared_at"] else ""
    seen = f", {row['actor']} sees to it: {row['note']}" if row["actor"] and not over else ""
    return (
        f"{row['severity'].upper()} {row['key']}, since {_clock(row['raised_at'])} UTC{over}{seen}",
        f"  {row['text']}",
    )


def _said(sink: lists.Row) -> str:
    taken = f"last taken {_clock(sink['last_taken_at'])} UTC" if sink["last_taken_at"] else "nothing taken yet"
    waits = f", {sink['waiting']} waiting since {_clock(sink['since'])} UTC" if sink["waiting"] else ", nothing waits"
    return f"{sink['sink']}: {taken}{waits}" + (f". {sink['problem']}" if sink["problem"] else ".")


def _clock(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" if at else ""
