"""The cooldown of actions: not twice within a minute."""

import pytest

from cffs.core import errors
from cffs.writer.cooldown import PAUSE_SECONDS, Cooldown, is_within_pause


def test_a_second_within_a_minute_is_one_too_many():
    """Each name has its own cooldown; a minute later, or when the action certainly did not happen, it may be asked for
    again."""
    now = [0.0]
    cooldown = Cooldown(lambda: now[0])
    cooldown.begin("a")
    cooldown.begin("b")
    with pytest.raises(errors.AlreadyExists):
        cooldown.begin("a")
    cooldown.undo("b")
    cooldown.begin("b")
    now[0] = PAUSE_SECONDS + 1
    cooldown.begin("a")


@pytest.mark.parametrize("clock_set_by", [1, -1])
def test_a_kept_time_counts_for_a_minute_either_way(clock_set_by):
    """An action whose time was kept is too young within the pause, also where the clock was set back since."""
    pause_ms, asked_ms = round(PAUSE_SECONDS * 1000), 10**12
    assert is_within_pause(asked_ms, now_ms=asked_ms)
    assert is_within_pause(asked_ms, now_ms=asked_ms + clock_set_by * (pause_ms - 1))
    assert not is_within_pause(asked_ms, now_ms=asked_ms + clock_set_by * pause_ms)
