"""A recording that is being made: it grows on both APIs, in state RECORDING, until it is finished or fails.

This module owns how the sizes of both forms and the row go together while that lasts.
It must not know HTTP. Tests and whoever wants to watch a tail grow make one.
"""

import time
from typing import Final

from cffs.core.units import NS_PER_MS
from cffs.standin.audio import mp3_nbytes, wav_nbytes
from cffs.standin.call_store import CallStore
from cffs.standin.generated_rows import is_mulaw
from cffs.standin.objects import StandinObject

FORMS: Final = ("mp3", "wav")


class GrowingCall:
    """One recording of a call. Its MP3 only ever grows at its end; its WAV does so behind a head that tells the size
    of now. May be called from any thread."""

    def __init__(self, book: CallStore, call_id: int, *, seconds: float = 0.0) -> None:
        self._book = book
        self.call_id = call_id
        now_ms = time.time_ns() // NS_PER_MS
        self.id = book.add_recording(call_id, state="RECORDING", mp3_nbytes=0, wav_nbytes=0, created=now_ms)
        self.seconds = 0.0
        self.grow(seconds)

    def grow(self, seconds: float) -> None:
        """So much more was said."""
        with self._book.lock:
            self.seconds += seconds
            sizes = {
                "mp3": mp3_nbytes(self.seconds),  # whole frames and no tag: what was there stays as it was
                "wav": wav_nbytes(self.seconds, mulaw=is_mulaw(self.id)),
            }
            for form in FORMS:
                self._book.resize_recording(self.id, form=form, total_nbytes=sizes[form])
            self._book.touch_recording(self.id)
            self._book.set_recording(self.id, lengthInSeconds=round(self.seconds))

    def finish(self) -> None:
        """It is READY as it is."""
        self._book.set_recording(self.id, state="READY")

    def fail(self, reason: str) -> None:
        """It is broken, and its row says why."""
        self._book.set_recording(self.id, state="ERROR", stateReason=reason)

    def object(self, form: str) -> StandinObject:
        """The bytes of now."""
        found = self._book.recording_object(self.id, form=form)
        if found is None:
            raise KeyError(self.id)
        return found
