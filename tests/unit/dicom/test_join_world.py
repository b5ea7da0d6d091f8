"""The join on worlds of known truth: what it calls certain is true, and what has its keys is found."""

from collections import Counter

import pytest

from tests.unit.dicom.join_matrix import (
    ALL,
    COLUMNS,
    MISSED,
    RIGHT,
    WITH_KEYS,
    WRONG,
    WRONG_STUDY,
    Matrix,
    judge,
    table,
)
from tests.unit.dicom.join_world import Truth, arrivals, make_world

LINES = {"VB", "VE", "XA"}


@pytest.fixture(scope="module")
def matrix():
    """Return how the join does on 500 sessions, in two worlds."""
    found = Matrix()
    for seed in (1, 2):
        world = make_world(sessions=250, seed=seed)
        judge(world, world.series, found)
    return found


def test_nothing_false_is_called_certain_on_any_software_but_of_what_cannot_be_told(matrix):
    assert {line for line, _ in matrix.files} == LINES
    assert set(matrix.wrong) <= {Truth.UNTOLD}, table(matrix)
    assert all(matrix.said(line, untold=False)[True] > 100 for line in LINES)


def test_what_cannot_be_told_is_there_and_seldom_wrong(matrix):
    seen = sum((counts for (_, truth), counts in matrix.files.items() if truth is Truth.UNTOLD), Counter())
    assert 0 < seen.total() < 50
    assert matrix.wrong[Truth.UNTOLD] < seen.total() / 4, table(matrix)


def test_whatever_has_its_keys_is_found_on_every_software_each_series_of_it(matrix):
    for line in LINES:
        files, series = matrix.files[line, Truth.SEEN], matrix.series[line, WITH_KEYS]
        assert files.total() > 100
        assert files[RIGHT] > 0.99 * files.total(), (line, files)
        assert series.total() > files.total()
        assert series[True] > 0.99 * series.total(), (line, series)


def test_the_world_holds_every_kind_of_answer(matrix):
    seen = {column for counts in matrix.files.values() for column, count in counts.items() if count}
    assert seen - {MISSED, WRONG} == set(COLUMNS) - {WRONG, WRONG_STUDY, MISSED}
    assert all(matrix.files[line, truth][MISSED] == 0 for line in LINES for truth in (Truth.SEEN, Truth.STRIPPED))
    assert {truth for _, truth in matrix.files} == set(Truth)
    assert matrix.series["VB", ALL].total() > matrix.series["VB", WITH_KEYS].total()
    assert table(matrix).count("\n") == 7 + len(matrix.files) + 2 * len(LINES) + len(matrix.series)


def test_while_images_arrive_in_no_order_nothing_false_is_called_certain():
    world = make_world(sessions=60, seed=2)
    found = []
    for arrived in arrivals(world, seed=3):
        matrix = judge(world, arrived)
        assert set(matrix.wrong) <= {Truth.UNTOLD}, table(matrix)
        found.append(sum(counts[RIGHT] for counts in matrix.files.values()))
    assert found == sorted(found)
    assert found[0] > 0


def test_the_same_numbers_make_the_same_world_and_others_another():
    assert make_world(sessions=3, seed=1) == make_world(sessions=3, seed=1) != make_world(sessions=3, seed=2)
