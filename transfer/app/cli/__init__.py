"""The command line: one module a verb. No logic here: parse, call, render; the exit code is the error's own."""

import sys

import typer

from kspace.errors import KspaceError
from kspace.malloc import keep_large_blocks
from transfer.app.cli import (
    alerts,
    assign,
    backfill,
    bench,
    check,
    delete_at_source,
    demo,
    free,
    hold,
    host,
    inspect,
    join_report,
    link,
    metrics,
    new_rules,
    on_scanner,
    pools,
    prefer,
    receipt,
    restore,
    retry,
    route,
    rules,
    sandbox,
    serve,
    sessions,
    show,
    size,
    status,
    study,
    verify,
    web,
)

app = typer.Typer(
    name="kspace",
    help="Captures Siemens raw k-space data at the scanner and delivers it, verified, into XNAT.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("engine")(serve.engine)
app.command("listen")(serve.listen)
app.command("web")(web.web)
app.command("status")(status.status)
app.add_typer(alerts.app, name="alerts")
app.command("metrics")(metrics.metrics)
app.command("pools")(pools.pools)
app.command("show")(show.show)
app.command("sessions")(sessions.sessions)
app.command("session")(sessions.session)
app.command("study")(study.study)
app.command("assign")(assign.assign)
app.command("on-scanner")(on_scanner.on_scanner)
app.command("backfill")(backfill.backfill)
app.command("delete-at-source")(delete_at_source.delete_at_source)
app.command("free")(free.free_images)
app.command("route")(route.route)
of_rules = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show and change what projects want captured.")
of_rules.command("list")(rules.list_)
of_rules.command("show")(rules.show)
of_rules.command("diff")(rules.diff)
of_rules.command("export")(rules.export)
of_rules.command("import")(new_rules.import_)
of_rules.command("undo")(new_rules.undo)
of_rules.command("rehearse")(new_rules.rehearse)
app.add_typer(of_rules, name="rules")
app.command("review")(link.review)
app.command("link")(link.link)
app.command("unlink")(link.unlink)
app.command("undo")(link.undo)
app.command("join-report")(join_report.join_report)
app.command("inspect")(inspect.inspect)
app.command("retry")(retry.retry)
app.command("hold")(hold.hold)
app.command("prefer")(prefer.prefer)
app.command("receipt")(receipt.receipt)
app.command("restore")(restore.restore)
app.command("verify")(verify.verify)
app.command("check")(check.check)
app.command("bench")(bench.bench)
app.add_typer(host.host, name="host")
app.command("size")(size.size)
app.command("sandbox")(sandbox.sandbox)


def main() -> None:
    """Run one verb; an error is one sentence on standard error and its class's exit code."""
    keep_large_blocks()
    try:
        app()
    except KspaceError as error:
        sys.stderr.write(f"kspace: {error}\n")
        raise SystemExit(error.exit_code) from None
