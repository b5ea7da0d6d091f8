"""What the docs claim of scanners and software is what the sample files show now."""

from pathlib import Path

from tests.docs import capabilities
from tests.unit.dicom import join_pairs

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_scanners_is_the_one_that_the_sample_files_give(data_folder):
    page = DOCS / "reference" / "capabilities.md"
    assert capabilities.table(data_folder / "twix") in page.read_text(encoding="utf-8")


def test_the_table_of_pairs_is_the_one_that_the_sample_files_give(data_folder):
    page = DOCS / "design" / "join.md"
    assert join_pairs.table(data_folder / "twix") in page.read_text(encoding="utf-8")
