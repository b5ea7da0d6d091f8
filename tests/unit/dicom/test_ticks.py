import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.ticks import DAY, Span, clock_of, span_of, tick_of


@pytest.mark.parametrize(
    ("time", "tick"),
    [
        ("182056.232500", 26_422_493),
        ("20240322182056.232500", 26_422_493),
        ("20240322182056.2325+0100", 26_422_493),
        ("000000.000000", 0),
        ("235959.997500", DAY - 1),
        ("182056.2325 ", 26_422_493),
        ("182056.232501", None),
        ("182056.233", None),
        ("182056", None),
        ("1820", None),
        ("240000.000000", None),
        ("18:20:56.2325", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_a_tick_only_exactly_on_the_grid(time, tick):
    assert tick_of(time) == tick


@given(st.integers(0, DAY - 1))
def test_every_tick_has_one_clock_time(tick):
    assert tick_of(clock_of(tick).replace(":", "")) == tick


@given(first=st.integers(0, DAY - 1), length=st.integers(0, DAY // 2), at=st.integers(0, DAY - 1))
def test_a_span_holds_its_own_ticks_across_midnight(first, length, at):
    span = Span(first, (first + length) % DAY)
    assert ((first + at) % DAY in span) is (at <= length)


def test_no_readouts_no_span():
    assert span_of([]) is None
    assert span_of([DAY - 8, DAY - 4, 0, 4]) == Span(DAY - 8, 4)
    assert str(span_of([400, 800])) == "00:00:01.0000 to 00:00:02.0000"


@pytest.mark.parametrize("last", [0, 7_999_990, 8_000_100])
def test_a_clock_that_was_set_back_gives_no_span(last):
    """First and last readout of such a measurement could be a day apart, and every image would lie between them."""
    assert span_of([*range(8_000_000, 8_000_200, 4), last]) is None
