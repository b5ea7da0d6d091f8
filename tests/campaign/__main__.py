"""The campaign by itself: ``python -m tests.campaign --seeds 1-500``."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.campaign.judge import table, uploads_cut
from tests.campaign.run import campaign


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-500", help="one seed, or a first and a last: 1-500")
    parser.add_argument("--alone", action="store_true", help="a relay of its own for each file, to see the time lost")
    given = parser.parse_args()
    first, _, last = given.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        costs = campaign(Path(folder), seeds, alone=given.alone)
    sys.stdout.write(
        f"{table(costs, times=given.alone)}\n\n{uploads_cut(costs)}\n"
        f"{len(costs)} files in {time.monotonic() - began:.0f} s\n"
    )


if __name__ == "__main__":
    main()
