"""Fifty seeded interruptions on each run of the tests; `make campaign` runs five hundred."""

import sys

import pytest

from tests.campaign.judge import table
from tests.campaign.plan import Kind, plan_of
from tests.campaign.run import campaign

_SEEDS = range(1, 51)


def test_a_seed_is_always_the_same_interruption_and_fifty_have_every_kind():
    assert [plan_of(seed) for seed in _SEEDS] == [plan_of(seed) for seed in _SEEDS]
    assert {plan_of(seed).kind for seed in _SEEDS} == set(Kind)


@pytest.mark.slow
def test_fifty_interruptions_cost_at_most_one_part_each(tmp_path, capsys):
    costs = campaign(tmp_path, _SEEDS)
    with capsys.disabled():
        sys.stdout.write(f"\n{table(costs, times=False)}\n")
    assert len(costs) == len(_SEEDS)
