"""`kspace join-report`: does the join's rule hold on this site's scanners?"""

from rich import box
from rich.table import Table

from dicom.records import Weight
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.catalog.fieldwork import field_evidence

_WORDS = {Weight.SUPPORTS: "agreed", Weight.CONTRADICTS: "did not", Weight.SILENT: "could not tell"}


def join_report(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show per scanner model and software how raw files were joined, and which keys agreed and which did not.

    The first session of a new software confirms or refutes the rule: number and tick should agree on every file.
    """
    relay = open_box(config)
    found = field_evidence(relay.database)
    relay.close()
    if as_json:
        print_json(found)
        return
    for row in found:
        files = ", ".join(f"{number} {what}" for what, number in sorted(row["files"].items()))
        console.print(f"{row['model']}, {row['software']}: {files}", style="bold", highlight=False, markup=False)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("key")
        for word in _WORDS.values():
            table.add_column(word, justify="right")
        for clue, said in row["clues"].items():
            if said:
                table.add_row(clue, *(str(said.get(weight, 0)) for weight in _WORDS))
        console.print(table)
    if not found:
        console.print("No raw file was joined yet, and none waits.")
