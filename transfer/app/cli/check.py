"""`kspace check`: is everything in the configuration as it must be?"""

import typer

from transfer.app.checks import run_checks
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, open_box, print_json


def check(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Try everything the configuration names, a line each.

    Every folder, share, archive, port and clock: what is right, and what to do about what is not. Exit code 0 only if
    everything is right.
    """
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
