"""The laws of a machine's own share of the rate, in virtual time.

Several machines have one server, which is a log of departures here, as exact as the real script.
"""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cffs.shared.rate_share import LONGEST_SILENCE_SECONDS, LONGEST_WAIT_SECONDS, OwnShare, WindowLimit

#: Every machine looks this often whether it may send.
STEP = 1 / 64
PER_SECOND = WindowLimit(10, 1.0)


@dataclass
class Server:
    """The log of all departures; `is_up` says whether it answers."""

    limit: WindowLimit
    is_up: bool = True
    left_at: deque[float] = field(default_factory=deque)

    def takes(self, now: float) -> bool:
        """Whether one more leaves."""
        nth = self.left_at[-self.limit.requests] if len(self.left_at) >= self.limit.requests else -1e9
        if nth + self.limit.window_seconds > now:
            return False
        self.left_at.append(now)
        return True


def departures(
    limit: WindowLimit, machines: int, *, gone: tuple[float, float], until: float, wants: list[float] | None = None
) -> list[float]:
    """When requests left, of machines that always want to send (from `wants` on), with the server gone for a time."""
    server = Server(limit)
    shares = [OwnShare(limit) for _ in range(machines)]
    left, now = [], 0.0
    while now < until:
        server.is_up = not gone[0] <= now < gone[1]
        for number, share in enumerate(shares):
            if wants is not None and now < wants[number] and server.is_up:
                share.machines = machines
                share.note_answer()
            if wants is not None and now < wants[number]:
                continue
            while _sends(share, server, machines, now):
                share.note_departure(now)
                left.append(now)
        now += STEP
    return left


def _sends(share: OwnShare, server: Server, machines: int, now: float) -> bool:
    if not server.is_up:
        share.note_gone(now)
        return share.seconds_to_wait(now) == 0
    share.machines = machines
    share.note_answer()
    return server.takes(now)


def most_in_any(left: list[float], seconds: float) -> int:
    """The most departures in any window of so many seconds."""
    return max((sum(at <= other < at + seconds for other in left) for at in left), default=0)


@settings(max_examples=40)
@given(
    st.integers(1, 8), st.integers(0, 20), st.integers(1, 192), st.lists(st.integers(0, 256), min_size=8, max_size=8)
)
def test_never_above_when_the_server_goes(machines: int, more: int, gone_at: int, wants: list[int]) -> None:
    """However many machines, whenever it goes, whichever of them sent before: no second holds more than the limit,
    where that is at least one request for each."""
    limit = WindowLimit(machines + more, 1.0)
    begin = [steps * STEP for steps in wants]
    left = departures(limit, machines, gone=(gone_at * STEP, 99.0), until=5.0, wants=begin)
    assert most_in_any(left, 1.0) <= limit.requests


@pytest.mark.parametrize(("machines", "expected"), [(1, 10), (2, 10), (3, 9), (5, 10), (10, 10), (20, 10)])
def test_the_share_is_used(machines: int, expected: int) -> None:
    """After the silence, all machines together send their shares, whole numbers of the limit or less often than it."""
    left = departures(PER_SECOND, machines, gone=(2.0, 99.0), until=14.0)
    alone = [at for at in left if at >= 4.0]
    assert expected * 10 * 0.93 <= len(alone) <= 10 * 10
    assert not [at for at in left if 2.0 <= at < 3.0]


def test_a_rate_per_minute_goes_on_evenly() -> None:
    """With 60 requests a minute, two machines are silent for 2 s only, and then send one by one, evenly."""
    limit = WindowLimit(60, 60.0)
    left = departures(limit, 2, gone=(10.0, 999.0), until=130.0)
    assert min(at for at in left if at >= 10.0) == pytest.approx(10.0 + LONGEST_SILENCE_SECONDS, abs=2 * STEP)
    assert most_in_any([at for at in left if 12.0 <= at < 70.0], 10.0) <= 12
    assert most_in_any([at for at in left if at >= 72.0], 60.0) <= 60


def test_a_machine_that_never_met_the_server_has_the_whole() -> None:
    """It cannot know of others, and does not wait for what it cannot know; it only begins evenly."""
    left = departures(PER_SECOND, 1, gone=(0.0, 99.0), until=3.0)
    assert left[0] == 0.0
    assert most_in_any([at for at in left if at < 1.0], 0.2) <= 2
    assert 9 <= len([at for at in left if at < 1.0]) <= 10
    assert len([at for at in left if at >= 1.0]) >= 19


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 9))
def test_waits_end(gaps: list[float], machines: int) -> None:
    """Where a request may not leave, the wait is more than 0 and at most a tenth of a second."""
    share, now = OwnShare(PER_SECOND), 0.0
    share.machines = machines
    share.note_answer()
    for gap in gaps:
        now += gap
        share.note_gone(now)
        seconds = share.seconds_to_wait(now)
        assert 0 <= seconds <= LONGEST_WAIT_SECONDS
        if not seconds:
            share.note_departure(now)


@given(st.integers(1, 50), st.integers(1, 80))
def test_shares_add_up_to_no_more(requests: int, machines: int) -> None:
    """So many shares together are at most the whole."""
    whole = WindowLimit(requests, 60.0)
    share = whole.shared_by(machines)
    assert share.requests / share.window_seconds * machines <= requests / 60.0 * (1 + 1e-9)
    assert share.evenly.requests == 1
