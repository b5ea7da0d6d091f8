"""The tables of states: every state has its place, nothing wanted ends before it was delivered, nobody is stuck."""

import pytest

from transfer.states import STAGE_OF, TRANSITIONS, CaptureState, DeliveryState, Kind

CAPTURE, DELIVERY = TRANSITIONS[CaptureState], TRANSITIONS[DeliveryState]
ENDS = {CaptureState.RELEASED}
CAPTURE_WAITS = {CaptureState.SKIPPED, CaptureState.PLANNED, CaptureState.HELD, CaptureState.RETIRED}
DICOM_ONLY = {DeliveryState.WAITING, DeliveryState.OBSERVING}
DELIVERY_WAITS = {DeliveryState.HELD, DeliveryState.WITHDRAWN}
"""States that something other than a stage leaves: a person, new evidence, or the last of the deliveries."""


def _reachable(start, *, without=frozenset()) -> set:
    found, left = set(), [start]
    while left:
        for after in CAPTURE[left.pop()] - found - without:
            found.add(after)
            left.append(after)
    return found


@pytest.mark.parametrize("states", [CaptureState, DeliveryState])
def test_every_state_has_its_row_and_stays_of_its_kind(states):
    assert set(TRANSITIONS[states]) == set(states)
    assert {type(state) for row in [*TRANSITIONS[states].values(), TRANSITIONS[states]] for state in row} == {states}


def test_only_released_is_the_end_and_retired_is_left_by_a_persons_word_or_for_the_same_bytes():
    assert {s for s, afters in CAPTURE.items() if not afters} == ENDS
    assert CAPTURE[CaptureState.RETIRED] == {CaptureState.RECALLED, CaptureState.SKIPPED}
    assert all(DELIVERY.values())


@pytest.mark.parametrize(
    ("kinds", "states", "waits", "ends"),
    [
        ({Kind.CAPTURE}, CaptureState, CAPTURE_WAITS, ENDS),
        ({Kind.RAW}, DeliveryState, DELIVERY_WAITS, DICOM_ONLY),
        ({Kind.DICOM}, DeliveryState, DELIVERY_WAITS, set()),
    ],
)
def test_every_state_is_left_by_a_stage_or_waits_for_something_named(kinds, states, waits, ends):
    staged = {state for kind, state in STAGE_OF if kind in kinds}
    assert staged | waits | ends == set(states)
    assert staged.isdisjoint(waits | ends)
    assert {type(state) for state in staged} == {states}


@pytest.mark.parametrize("state", [s for s in CaptureState if s not in ENDS])
def test_everything_can_still_arrive(state):
    assert CaptureState.RETIRED in _reachable(state)


def test_no_capture_retires_without_its_deliveries():
    assert {s for s in CAPTURE if CaptureState.RETIRED in CAPTURE[s]} == {CaptureState.DELIVERED}
    assert {s for s in CAPTURE if CaptureState.RELEASED in CAPTURE[s]} == {CaptureState.MATCHED}
    around = _reachable(CaptureState.FOUND, without={CaptureState.DELIVERED, CaptureState.HELD})
    assert CaptureState.RETIRED not in around


def test_no_delivery_is_verified_unsent():
    ways = {s for s in DELIVERY if DeliveryState.VERIFIED in DELIVERY[s]}
    again = {DeliveryState.VERIFIED, DeliveryState.HELD}  # proved again; held in between, and put back where it was
    assert ways - again == {DeliveryState.SENT} | DICOM_ONLY
    assert DeliveryState.WAITING not in DELIVERY[DeliveryState.QUEUED]


def test_anything_that_works_may_be_held_for_a_person():
    for _, state in STAGE_OF:
        assert type(state).HELD in TRANSITIONS[type(state)][state]
