"""The cooldown of actions: not twice within a minute."""

import pytest

from cffs.core import errors
from cffs.writer.cooldown import PAUSE_SECONDS, Cooldown


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
