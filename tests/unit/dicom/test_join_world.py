"""The join on worlds of known truth: what it calls certain is true, and what has its keys is found."""

import pytest

from tests.unit.dicom.join_matrix import COLUMNS, RIGHT, WRONG, WRONG_STUDY, judge, table
from tests.unit.dicom.join_world import Truth, arrivals, make_world

LINES = {"B19", "E11", "E12", "XA30", "XA61"}


@pytest.fixture(scope="module")
def matrix():
    world = make_world(sessions=500, seed=1)
    return judge(world, world.series)


def test_nothing_false_is_called_certain_on_any_software(matrix):
    assert {line for line, _ in matrix} == LINES
    for kind, counts in matrix.items():
        assert counts[WRONG] == counts[WRONG_STUDY] == 0, (kind, counts)


def test_whatever_has_its_keys_is_found_on_every_software(matrix):
    for line in LINES:
        counts = matrix[line, Truth.SEEN]
        assert counts.total() > 100
        assert counts[RIGHT] > 0.99 * counts.total(), (line, counts)


def test_the_world_holds_every_kind_of_answer(matrix):
    seen = {column for counts in matrix.values() for column in counts}
    assert seen == set(COLUMNS) - {WRONG, WRONG_STUDY, "study, a series missed"}
    assert {truth for _, truth in matrix} == set(Truth)
    assert table(matrix).count("\n") == 1 + len(matrix)


def test_while_images_arrive_in_no_order_nothing_false_is_called_certain():
    world = make_world(sessions=60, seed=2)
    found = []
    for arrived in arrivals(world, seed=3):
        matrix = judge(world, arrived)
        assert sum(counts[WRONG] + counts[WRONG_STUDY] for counts in matrix.values()) == 0
        found.append(sum(counts[RIGHT] for counts in matrix.values()))
    assert found == sorted(found)
    assert found[0] > 0


def test_the_same_numbers_make_the_same_world_and_others_another():
    assert make_world(sessions=3, seed=1) == make_world(sessions=3, seed=1) != make_world(sessions=3, seed=2)
