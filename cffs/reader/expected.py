"""What an earlier look at an origin (`doctor --probe`) said of it, as the reader uses it: where it begins, no more.

It must not know who looked. `daemon/probe_command` tells it; what the reader measures itself takes its place.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginProfile:
    """None, or False, where nothing is known."""

    #: From a request to its first byte: how early the next request of a stream must leave.
    latency_seconds: float | None = None
    #: How many times faster several connections brought the same bytes: whether a stream begins with several.
    parallel_gain: float | None = None
    #: Every range is answered with the whole: it is asked for as such, and a second question is never sent.
    ignores_ranges: bool = False
