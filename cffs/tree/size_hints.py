"""What `lengthInBytes` is worth: whether it measures the MP3 or the WAV, judged by what exact sizes have shown. Pure.

It must not know rows or requests.
`tree/recordings` shows a hint only where this says it is of the form shown (contract section 4).
"""

from enum import StrEnum

#: Speech WAVs are 8000 B/s (mu-law) or 16000 B/s (PCM16, 8 kHz mono), speech MP3s 1000 to 8000 B/s (api.md section 6).
#: Between the two, and until an exact size has been seen, this divides them.
WAV_BYTES_A_SECOND = 7500


class Form(StrEnum):
    """The two audio forms of a recording."""

    MP3 = "mp3"
    WAV = "wav"


def guess(hint_nbytes: int, seconds: int | None) -> Form:
    """Which form a hint measures, by its bytes a second alone; MP3 where no duration is told (the API's own form)."""
    if seconds and hint_nbytes / seconds >= WAV_BYTES_A_SECOND:
        return Form.WAV
    return Form.MP3


def usable(form: Form, hint_nbytes: int | None, *, seconds: int | None, measures: Form | None) -> int | None:
    """The hint if it is one for `form`, else None. `measures` is what exact sizes have shown, None before any."""
    if hint_nbytes is None:
        return None
    return hint_nbytes if (measures or guess(hint_nbytes, seconds)) is form else None
