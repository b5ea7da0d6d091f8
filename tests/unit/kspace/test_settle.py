"""Has the scanner finished writing? Quiet, whole, or given its patience; nothing half-written passes."""

from datetime import UTC, datetime, timedelta

import pytest

from kspace.records import Audit, SourceFile, Verdict
from kspace.settle import Damaged, Growing, Settled, is_quiet, judge

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEEN = SourceFile(path="a.dat", size=10, mtime_ns=5)


def _audit(verdict: Verdict) -> Audit:
    return Audit(verdict=verdict, position=3, reason="Why.")


@pytest.mark.parametrize(("after", "quiet"), [(0, False), (119.9, False), (120, True), (9999, True), (-60, False)])
def test_quiet_is_a_matter_of_the_relays_own_clock(after, quiet):
    now = SINCE + timedelta(seconds=after)
    assert is_quiet(seen=SEEN, now_seen=SEEN, since=SINCE, now=now, quiet_s=120) is quiet


@pytest.mark.parametrize("change", [{"size": 11}, {"size": 9}, {"mtime_ns": 6}, {"mtime_ns": 4}])
def test_any_change_ends_the_quiet(change):
    changed = SourceFile(**({"path": "a.dat", "size": 10, "mtime_ns": 5} | change))
    now = SINCE + timedelta(days=1)
    assert not is_quiet(seen=SEEN, now_seen=changed, since=SINCE, now=now, quiet_s=120)


@pytest.mark.parametrize("verdict", [Verdict.COMPLETE_NATIVE, Verdict.COMPLETE_STREAMED, Verdict.NOT_TWIX])
def test_a_whole_file_and_a_foreign_one_settle_at_once(verdict):
    assert judge(audit=_audit(verdict), since=SINCE, now=SINCE, patience_s=1800) == Settled()


BROKEN = [v for v in Verdict if not v.is_whole and v is not Verdict.NOT_TWIX]


@pytest.mark.parametrize("verdict", BROKEN)
def test_a_broken_file_gets_its_patience_and_no_more(verdict):
    early = judge(audit=_audit(verdict), since=SINCE, now=SINCE + timedelta(seconds=600), patience_s=1800)
    assert isinstance(early, Growing)
    assert early.look_again_s == 1200
    late = judge(audit=_audit(verdict), since=SINCE, now=SINCE + timedelta(seconds=1800), patience_s=1800)
    assert late == Damaged("Why.")


def test_broken_verdicts_are_all_there_is_beside_whole_and_foreign():
    assert len(BROKEN) == len(Verdict) - 3
