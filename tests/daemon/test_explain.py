"""What `cffs why` says happens next, and where a size came from.

There is a sentence for every case.
"""

import pytest

from cffs.callfire.stats import ApiHealth, RateStatus
from cffs.core.settings_options import RequestRate
from cffs.core.source import v2_recording
from cffs.core.values import RecordingState
from cffs.daemon.explain import size_from, what_next
from cffs.reader.read_history import ReadReport
from cffs.tree.contents import Remote
from cffs.tree.namespace import Description

EXACT = Description(is_folder=False, nbytes=1000, is_exact=True)
HINT = Description(is_folder=False, nbytes=1000, is_exact=False)
UNKNOWN = Description(is_folder=False, nbytes=None, is_exact=False)


def remote(state: RecordingState = RecordingState.READY) -> Remote:
    """A recording's MP3."""
    return Remote(key="recording/1.mp3", sources=(v2_recording(1),), state=state)


def told(held_nbytes: int = 0) -> ReadReport:
    """A report of an object of which so much is held."""
    return ReadReport(memory_nbytes=held_nbytes, disk_nbytes=0, is_open=False, fetched=(), tier="", failure=None)


@pytest.mark.parametrize(
    ("state", "description", "held", "health", "revalidate", "expected"),
    [
        (RecordingState.ERROR, HINT, 0, "online", 0, "EIO"),
        (RecordingState.RECORDING, UNKNOWN, 0, "online", 0, "kept nowhere"),
        (RecordingState.READY, EXACT, 1000, "offline", 0, "ask nothing"),
        (RecordingState.READY, EXACT, 1000, "online", 60, "once it is 60 s old"),
        (RecordingState.READY, EXACT, 400, "online", 0, "600 bytes"),
        (RecordingState.READY, EXACT, 400, "offline", 0, "cannot be read now"),
        (RecordingState.READY, HINT, 0, "auth-failed", 0, "auth-failed"),
        (RecordingState.READY, HINT, 0, "held", 0, "in 7 s"),
        (RecordingState.READY, UNKNOWN, 0, "online", 0, "asks the service"),
    ],
)
def test_what_happens_next(state, description, held, health, revalidate, expected):
    """The sentence names what decides."""
    found = what_next(
        remote(state),
        description,
        told(held),
        health=ApiHealth(state=health, hold_seconds=7.0),
        revalidate_seconds=revalidate,
        rate=None,
    )
    assert expected in found
    assert "\n" not in found


@pytest.mark.parametrize(("waiting", "held", "is_named"), [(3, 0, True), (0, 0, False), (3, 1000, False)])
def test_the_rate_is_named_where_it_decides(waiting, held, is_named):
    """Where requests wait for it, and bytes are missing here."""
    rate = RateStatus(rate=RequestRate(10, 1.0), sent=10, waiting=waiting, waited_seconds=1.0)
    online = ApiHealth(state="online", hold_seconds=0.0)
    found = what_next(remote(), EXACT, told(held), health=online, revalidate_seconds=0, rate=rate)
    assert ("3 requests wait for the request rate of --rate (10/s)" in found) is is_named


def test_where_a_size_came_from():
    """An answer is named by its source; a hint, and a size that is not known, are called so."""
    assert size_from(remote(), EXACT, source="v2:calls/recordings/1.mp3") == "an answer of v2:calls/recordings/1.mp3"
    assert "hint" in size_from(remote(), HINT, source="")
    assert "no answer yet" in size_from(remote(), UNKNOWN, source="")
    assert "once a second" in size_from(remote(RecordingState.RECORDING), UNKNOWN, source="")
