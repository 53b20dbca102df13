"""A recording in progress: it grows on both APIs until it is finished or fails.

It owns how the row and the sizes of both forms change together while the state is RECORDING. It must not know HTTP.
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
    """One recording of a call. Its MP3 only grows at the end; its WAV does too, but its header gives the size of the
    moment. May be called from any thread."""

    def __init__(self, store: CallStore, call_id: int, *, seconds: float = 0.0) -> None:
        self._store = store
        self.call_id = call_id
        now_ms = time.time_ns() // NS_PER_MS
        self.id = store.add_recording(call_id, state="RECORDING", mp3_nbytes=0, wav_nbytes=0, created=now_ms)
        self.seconds = 0.0
        self.grow(seconds)

    def grow(self, seconds: float) -> None:
        """Add `seconds` of sound."""
        with self._store.lock:
            self.seconds += seconds
            sizes = {
                "mp3": mp3_nbytes(self.seconds),  # whole frames and no tag: earlier bytes do not change
                "wav": wav_nbytes(self.seconds, mulaw=is_mulaw(self.id)),
            }
            for form in FORMS:
                self._store.resize_recording(self.id, form=form, total_nbytes=sizes[form])
            self._store.touch_recording(self.id)
            self._store.set_recording(self.id, lengthInSeconds=round(self.seconds))

    def finish(self) -> None:
        """End the recording: its state becomes READY."""
        self._store.set_recording(self.id, state="READY")

    def fail(self, reason: str) -> None:
        """End the recording in state ERROR, with the reason in its row."""
        self._store.set_recording(self.id, state="ERROR", stateReason=reason)

    def object(self, form: str) -> StandinObject:
        """The bytes that it has now."""
        found = self._store.recording_object(self.id, form=form)
        if found is None:
            raise KeyError(self.id)
        return found
