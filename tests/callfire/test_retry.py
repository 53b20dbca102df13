"""Laws of the retry policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.retry import MAX_ATTEMPTS, ErrorKind, kind_of, pause_seconds
from cffs.core import errors

kinds = st.sampled_from(ErrorKind)
dice = st.floats(0, 1, exclude_max=True)


@given(kinds, st.integers(1, 10), st.booleans(), st.floats(0, 100), dice)
def test_a_pause_never_outlasts_the_time_nor_the_tries(kind, attempts_made, idempotent, seconds_left, die):
    """There are at most four attempts, each pause fits into the time left, and acts are repeated only where provably
    unsent."""
    pause = pause_seconds(kind, attempts_made=attempts_made, idempotent=idempotent, seconds_left=seconds_left, dice=die)
    if pause is None:
        return
    assert attempts_made < MAX_ATTEMPTS
    assert 0 <= pause < seconds_left
    assert kind is not ErrorKind.FINAL
    assert idempotent or kind is ErrorKind.UNSENT


@given(dice)
def test_pauses_grow_and_are_jittered(die):
    """Each pause is longer than the one before, whatever the dice say, and all of them together are short."""
    pauses = [
        pause_seconds(ErrorKind.SERVER, attempts_made=n, idempotent=True, seconds_left=60, dice=die) for n in (1, 2, 3)
    ]
    assert pauses == sorted(pauses)
    assert 0.05 <= pauses[0] <= 0.1
    assert sum(pauses) < 0.71


def test_the_dice_decide_half_of_a_pause():
    """The first pause is 50 ms and up to 50 ms more by the dice; it is made where exactly enough time is left."""

    def first(die: float, seconds_left: float = 60.0) -> float | None:
        return pause_seconds(ErrorKind.SERVER, attempts_made=1, idempotent=True, seconds_left=seconds_left, dice=die)

    assert first(0.0) == pytest.approx(0.05)
    assert first(0.5) == pytest.approx(0.075)
    assert first(0.0, seconds_left=0.1) == pytest.approx(0.05)
    assert first(0.0, seconds_left=0.099) is None


def test_a_hold_is_followed_at_once():
    """Where the health of the API keeps the pause, the next attempt adds none."""
    assert pause_seconds(ErrorKind.HELD, attempts_made=1, idempotent=True, seconds_left=60, dice=0.5) == 0


def test_a_malformed_answer_is_asked_twice_only():
    """An answer that was malformed twice is not asked for again."""
    assert pause_seconds(ErrorKind.MALFORMED, attempts_made=1, idempotent=True, seconds_left=9, dice=0) is not None
    assert pause_seconds(ErrorKind.MALFORMED, attempts_made=2, idempotent=True, seconds_left=9, dice=0) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.RemoteObjectMissing("x"), ErrorKind.FINAL),
        (errors.AccessRefused("x"), ErrorKind.FINAL),
        (errors.RemoteObjectChanged("x"), ErrorKind.FINAL),
        (errors.OperationNotOffered("x"), ErrorKind.FINAL),
        (errors.RangeNotSatisfiable(5), ErrorKind.FINAL),
        (errors.ServerFailure(400, "x"), ErrorKind.FINAL),
        (errors.ServerFailure(499, "x"), ErrorKind.FINAL),
        (errors.ServerFailure(500, "x"), ErrorKind.SERVER),
        (errors.ServerFailure(503, "x"), ErrorKind.SERVER),
        (errors.OriginBusy(1), ErrorKind.HELD),
        (errors.TruncatedAnswer("x"), ErrorKind.UNANSWERED),
        (errors.DeadlineExceeded("x"), ErrorKind.UNANSWERED),
        (errors.MalformedAnswer("x"), ErrorKind.MALFORMED),
    ],
)
def test_each_error_has_its_kind(error, kind):
    """401, 403, 404 and a change are never asked for again."""
    assert kind_of(error) is kind
    assert kind_of(errors.OriginUnreachable("x"), sent=False) is ErrorKind.UNSENT
    assert kind_of(errors.LocalShortage("x"), sent=False) is ErrorKind.UNSENT
