"""The sliding window of `--rate`: laws over any arrivals."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.departure_log import WINDOW_FACTOR, DepartureLog
from cffs.core.settings_options import RequestRate

RATES = st.builds(RequestRate, st.integers(1, 12), st.sampled_from([1.0, 60.0]))
#: Between two arrivals, in spans: bursts, steady arrivals, and pauses that empty the window.
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.2), st.floats(0, 3)), max_size=80)


def departures(rate: RequestRate, arrivals: list[float]) -> list[float]:
    """When requests leave that arrive so, each as soon as the log lets it, one after the other."""
    log, left, now = DepartureLog(rate), [], 0.0
    for arrival in arrivals:
        now = max(now, arrival)
        while (seconds := log.seconds_to_wait(now)) > 0:
            assert seconds <= rate.span_seconds * WINDOW_FACTOR + 0.001
            now += seconds
        log.note(now)
        left.append(now)
    return left


def arrivals_of(gaps: list[float], rate: RequestRate) -> list[float]:
    now, found = 0.0, []
    for gap in gaps:
        now += gap * rate.span_seconds
        found.append(now)
    return found


def most_in_a_span(times: list[float], span_seconds: float) -> int:
    """The most of the times that lie in one half-open window of that length; the fullest begins with one of them."""
    return max((sum(begin <= time < begin + span_seconds for time in times) for begin in times), default=0)


@given(RATES, GAPS)
def test_no_span_holds_more_than_the_limit(rate, gaps):
    """Whatever arrives when: no window of the span, wherever it begins, holds more than the limit."""
    left = departures(rate, arrivals_of(gaps, rate))
    assert most_in_a_span(left, rate.span_seconds) <= rate.requests


@given(RATES, st.integers(3, 30))
def test_steady_demand_uses_the_rate(rate, spans):
    """Of what the rate allows over some spans, 95 % leaves, where more than that waits from the start."""
    seconds = spans * rate.span_seconds
    left = departures(rate, [0.0] * (rate.requests * (spans + 1)))
    assert sum(time < seconds for time in left) >= 0.95 * rate.requests * spans


@given(RATES, GAPS)
def test_a_request_waits_only_where_the_window_is_full(rate, gaps):
    """A request that had to wait left when the limit-th before it was a window old, and not later."""
    arrivals = arrivals_of(gaps, rate)
    left = departures(rate, arrivals)
    for index, (arrival, time) in enumerate(zip(arrivals, left, strict=True)):
        window = rate.span_seconds * WINDOW_FACTOR
        earliest = left[index - rate.requests] + window if index >= rate.requests else 0.0
        assert time - max(arrival, earliest, left[index - 1] if index else 0.0) <= 0.002


def test_the_margin_for_jitter():
    """A burst that follows a burst leaves 45 ms later than a second: its requests may be 44 ms faster."""
    left = departures(RequestRate(10, 1.0), [0.0] * 20)
    assert left[9] == 0.0
    assert 1.045 <= left[10] <= 1.0461
    assert most_in_a_span([*left[:10], *(time - 0.044 for time in left[10:])], 1.0) == 10


def test_a_window_is_half_open():
    """A request may leave at the moment in which the one before it is a window old."""
    log = DepartureLog(RequestRate(1, 1.0))
    log.note(0.0)
    assert log.seconds_to_wait(WINDOW_FACTOR) == 0.0


def test_what_is_counted():
    """The departures of the last second, and not those of the window's margin."""
    log = DepartureLog(RequestRate(2, 1.0))
    log.note(0.0)
    log.note(0.5)
    assert log.count(1.0, seconds=1.0) == 1
    assert log.count(0.9, seconds=1.0) == 2
    assert log.seconds_to_wait(0.9) > 0
    log.note(5.0)
    assert log.count(5.0, seconds=1.0) == 1
