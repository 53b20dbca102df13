"""This machine's own share of the request rate; pure.

While the server counts, all machines together keep to the rate. When it is gone, each keeps to its share: the rate
divided by the machines that were seen last. What this machine itself sent is remembered all the time, so the share
holds at once. What the others sent just before is not known, so a change is taken in steps:

    the server is gone     for a window, 2 s at most, nothing leaves: what all sent before is over after it, or nearly
    until the window ends  requests leave one by one, evenly (this is for rates per minute)
    then                   up to the share within each window
    the server is back     for as long as others may not have noticed yet, the share holds beside the server's count

A machine that the server never answered cannot know of others, and its share is the whole; it begins evenly, because
the server may only be late. Where there are more
machines than requests in a window, the rate is kept on average, and a window may hold one request of each.

Owns the times of this machine's departures. It must not know clocks or the server: times are seconds, passed in.
"""

from collections import deque
from dataclasses import dataclass

#: The longest silence after the server is gone. It covers a whole window of a rate per second.
LONGEST_SILENCE_SECONDS = 2.0
#: A waiting request asks again this often, because the server may be back.
LONGEST_WAIT_SECONDS = 0.1
_SHORTEST_WAIT_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class WindowLimit:
    """At most `requests` within any `window_seconds`."""

    requests: int
    window_seconds: float

    def shared_by(self, machines: int) -> "WindowLimit":
        """The share of each of so many. Where there are more machines than requests, one request in a longer window."""
        requests = self.requests // machines
        if requests:
            return WindowLimit(requests, self.window_seconds)
        return WindowLimit(1, self.window_seconds * machines / self.requests)

    @property
    def evenly(self) -> "WindowLimit":
        """One request at a time, at the pace that this limit has on average."""
        return WindowLimit(1, self.window_seconds / self.requests)


class OwnShare:
    """What this machine sent, and whether it may send without the server. It has one owner."""

    def __init__(self, limit: WindowLimit) -> None:
        #: The limit of all machines together, and how many they are, as far as is known.
        self.limit = limit
        self.machines = 1
        self._left_at: deque[float] = deque()
        self._has_met = False
        self._gone_at: float | None = None

    @property
    def is_alone(self) -> bool:
        """Whether the server did not answer when it was last asked."""
        return self._gone_at is not None

    def note_answer(self) -> None:
        """Note that the server answered."""
        self._has_met, self._gone_at = True, None

    def note_gone(self, now: float) -> None:
        """Note that the server did not answer."""
        if self._gone_at is None:
            self._gone_at = now

    def note_departure(self, now: float) -> None:
        """Note that a request leaves at `now`."""
        self._left_at.append(now)
        while len(self._left_at) > self.limit.requests:
            self._left_at.popleft()

    def seconds_to_wait(self, now: float) -> float:
        """0.0 where a request may leave by the share alone; else after how many seconds to ask again."""
        seconds = self._limit_seconds(self.limit.shared_by(self.machines), now)
        if self._gone_at is not None and now < self._gone_at + self.limit.window_seconds:
            seconds = max(seconds, self._limit_seconds(self.limit.shared_by(self.machines).evenly, now))
            if self._has_met:
                seconds = max(seconds, self._gone_at + LONGEST_SILENCE_SECONDS - now)
        return 0.0 if seconds <= 0 else min(max(seconds, _SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)

    def _limit_seconds(self, limit: WindowLimit, now: float) -> float:
        if len(self._left_at) < limit.requests:
            return 0.0
        return self._left_at[-limit.requests] + limit.window_seconds - now
