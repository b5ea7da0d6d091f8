"""How a raw file, a study's images and a session stand: the worst of the parts, and never better than the facts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from transfer.standing import RawFacts, Standing, badge, standing_of_images, standing_of_raw
from transfer.states import CaptureState, DeliveryState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
C, D, S = CaptureState, DeliveryState, Standing
FOUND = RawFacts(
    state=C.FOUND, is_packed=False, is_gone=False, failures=0, first_seen_at=NOW - timedelta(hours=1), held_codes=()
)
PACKED = replace(FOUND, state=C.PACKED, is_packed=True)
PLANNED = replace(PACKED, state=C.PLANNED)


@pytest.mark.parametrize(
    ("facts", "standing"),
    [
        (FOUND, S.ON_ITS_WAY),
        (replace(FOUND, state=C.SETTLED), S.ON_ITS_WAY),
        (replace(FOUND, first_seen_at=NOW - timedelta(hours=25)), S.AT_RISK),
        (replace(FOUND, failures=1), S.AT_RISK),
        (replace(FOUND, is_gone=True), S.LOST),
        (replace(FOUND, state=C.HELD, is_gone=True), S.LOST),
        (replace(FOUND, state=C.HELD, is_gone=True, is_export=True), S.NEEDS_A_PERSON),
        (replace(FOUND, is_gone=True, is_export=True), S.ON_ITS_WAY),
        (replace(PACKED, state=C.DELIVERED, is_export=True), S.AS_EXPORTED),
        (replace(FOUND, state=C.HELD), S.NEEDS_A_PERSON),
        (replace(FOUND, state=C.SKIPPED), S.NOT_WANTED),
        (replace(FOUND, state=C.SKIPPED, is_gone=True), S.NOT_WANTED),
        (PACKED, S.ON_ITS_WAY),
        (replace(PACKED, is_gone=True, failures=3, first_seen_at=NOW - timedelta(days=9)), S.ON_ITS_WAY),
        (replace(PACKED, state=C.HELD), S.NEEDS_A_PERSON),
        (replace(PACKED, state=C.RELEASED), S.NOT_WANTED),
        (PLANNED, S.ON_ITS_WAY),
        (replace(PLANNED, held_codes=("privacy",)), S.NEEDS_A_PERSON),
        (replace(PLANNED, held_codes=("privacy", "lost")), S.LOST),
        (replace(PACKED, state=C.DELIVERED), S.COMPLETE),
        (replace(PACKED, state=C.DELIVERED, is_in_doubt=True), S.NEEDS_A_PERSON),
        (replace(PACKED, state=C.DELIVERED, lacks_dependency=True), S.AT_RISK),
        (replace(PLANNED, lacks_dependency=True, is_in_doubt=True), S.NEEDS_A_PERSON),
        (replace(PACKED, state=C.RETIRED, is_gone=True), S.COMPLETE),
        (replace(PACKED, state=C.RETIRED, held_codes=("lost",)), S.LOST),
    ],
)
def test_a_raw_file_stands_as_its_facts_say(facts, standing):
    assert standing_of_raw(facts, now=NOW) is standing


@pytest.mark.parametrize("state", list(C))
def test_every_state_has_a_standing_and_only_proved_ones_are_complete(state):
    standing = standing_of_raw(replace(PACKED, state=state), now=NOW)
    assert (standing is S.COMPLETE) == (state in {C.DELIVERED, C.RETIRED})


@pytest.mark.parametrize(
    ("states", "standing"),
    [
        ([], S.NEEDS_A_PERSON),
        ([D.VERIFIED], S.COMPLETE),
        ([D.VERIFIED, D.SENT], S.ON_ITS_WAY),
        ([D.QUEUED], S.ON_ITS_WAY),
        ([D.VERIFIED, D.HELD], S.NEEDS_A_PERSON),
    ],
)
def test_images_stand_as_their_worst_delivery(states, standing):
    assert standing_of_images(states) is standing


def test_a_whole_stands_as_its_worst_and_counts_all():
    standing, counts = badge([S.COMPLETE, S.LOST, S.COMPLETE, S.NOT_WANTED, S.AT_RISK])
    assert standing is S.LOST
    assert list(counts.items()) == [(S.LOST, 1), (S.AT_RISK, 1), (S.COMPLETE, 2), (S.NOT_WANTED, 1)]
    assert badge([S.NOT_WANTED, S.COMPLETE])[0] is S.COMPLETE
    assert badge([]) == (S.COMPLETE, {})
