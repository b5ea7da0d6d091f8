"""`kspace check`: is everything in the configuration as it must be?"""

import typer

from transfer.app.checks import run_checks
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, open_box, print_json


def check(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Try every folder, share, archive, port and clock; say in one line each what is right, and what to do if not."""
    box = open_box(config)
    results = list(run_checks(box))
    box.close()
    if as_json:
        print_json([{"what": r.what, "is_right": r.is_right, "said": r.said} for r in results])
    else:
        for result in results:
            typer.echo(f"{'ok  ' if result.is_right else 'WRONG'} {result.what}: {result.said}")
    if not all(r.is_right for r in results):
        raise typer.Exit(1)
