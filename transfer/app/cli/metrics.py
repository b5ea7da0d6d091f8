"""`kspace metrics`: what Prometheus is told, printed once; and the rules and dashboard made for it."""

from importlib.resources import files
from typing import Annotated

import typer

from kspace.errors import BadInput
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, open_box
from transfer.app.metrics import Collector


def metrics(
    config: ConfigPath = DEFAULT_CONFIG,
    rules: Annotated[bool, typer.Option("--rules", help="Print the alert rules for Prometheus instead.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Print the dashboard for Grafana instead.")] = False,
) -> None:
    """Print the metrics once, as Prometheus gets them; or its alert rules, or a dashboard.

    With metrics in [relay] they are served at /metrics.
    """
    if rules and dashboard:
        raise BadInput("Choose one of --rules and --dashboard.")
    if rules or dashboard:
        name = "rules.yml" if rules else "dashboard.json"
        typer.echo((files("hardware") / "prometheus" / name).read_text(encoding="utf-8"), nl=False)
        return
    box = open_box(config)
    text = Collector(box).text()
    box.close()
    typer.echo(text, nl=False)
