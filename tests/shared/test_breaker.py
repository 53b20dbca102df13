"""The laws of the breaker, in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.shared.breaker import PAUSES_SECONDS, STEADY_SECONDS, Breaker, after_answer, after_failure

GAPS = st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=40)


def _after(events: list[tuple[bool, float]]) -> tuple[Breaker, float]:
    """The record after tries and calls, each so long after what came before; a try comes no earlier than it may."""
    breaker, now = Breaker(), 0.0
    for is_answer, gap in events:
        now = now + gap if breaker.is_up else max(now + gap, breaker.next_try_at)
        breaker = after_answer(breaker, now) if is_answer else after_failure(breaker, now)
    return breaker, now


@given(GAPS)
def test_a_failure_closes_and_names_the_next_try(events) -> None:
    """After a failure the server counts as gone, and is tried within 30 s."""
    breaker, now = _after(events)
    failed = after_failure(breaker, now)
    assert not failed.is_up
    assert 0 <= failed.next_try_at - now <= PAUSES_SECONDS[-1]


@given(GAPS)
def test_pauses_grow_until_it_is_steady(events) -> None:
    """Each further failure waits as long as the one before or longer, unless the server was steady between them."""
    breaker, now = _after(events)
    first = after_failure(breaker, now)
    pause = first.next_try_at - now
    for is_steady in (False, True):
        there = after_answer(first, first.next_try_at)
        later = first.next_try_at + (STEADY_SECONDS if is_steady else STEADY_SECONDS / 2)
        second = after_failure(there, later)
        assert second.next_try_at - later == (
            0.0 if is_steady else min(p for p in PAUSES_SECONDS if p > pause or p == 30)
        )


@given(GAPS)
def test_an_answer_opens_once(events) -> None:
    """An answer makes the server count as there, and a second one changes nothing, least of all since when."""
    breaker, now = _after(events)
    there = after_answer(breaker, now)
    assert there.is_up
    assert after_answer(there, now + 1) == there


def test_a_server_that_answers_tries_alone_is_asked_rarely() -> None:
    """Where every try is answered and every call fails after 50 ms, seven calls of the first minute are slow."""
    breaker, now, slow = Breaker(), 0.0, 0
    while now < 60:
        breaker = after_answer(breaker, now)
        slow, now = slow + 1, now + 0.05
        breaker = after_failure(breaker, now)
        now = breaker.next_try_at
    assert slow <= len(PAUSES_SECONDS)
