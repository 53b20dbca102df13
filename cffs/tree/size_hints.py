"""Size hints: whether `lengthInBytes` is the size of the MP3 or of the WAV. Pure.

It owns that judgement, by what exact sizes have shown. It must not know rows or requests
(`cffs/docs/semantics.md#sizes`).
"""

from enum import StrEnum

#: Speech WAVs have 8000 B/s (mu-law) or 16000 B/s (PCM16, 8 kHz mono), speech MP3s 1000 to 8000 B/s
#: (`cffs/docs/service.md#sizes`). This divides the two until an exact size has been seen.
WAV_BYTES_A_SECOND = 7500


class Form(StrEnum):
    """The two audio forms of a recording."""

    MP3 = "mp3"
    WAV = "wav"


def guess(hint_nbytes: int, seconds: int | None) -> Form:
    """The form that a hint measures, by its bytes a second alone; MP3, the API's own form, where no duration is
    known."""
    if seconds and hint_nbytes / seconds >= WAV_BYTES_A_SECOND:
        return Form.WAV
    return Form.MP3


def usable(form: Form, hint_nbytes: int | None, *, seconds: int | None, measures: Form | None) -> int | None:
    """The hint, if it is one for `form`, else None. `measures` is the form that exact sizes have shown; None before
    any."""
    if hint_nbytes is None:
        return None
    return hint_nbytes if (measures or guess(hint_nbytes, seconds)) is form else None
