"""Generated rows: every fact of an account as a function of an index.

Each fact of a call is a pure function of the shape and the call's index, so 100,000 calls cost nothing until one is
asked for. It owns these functions. It must not know changes made by tests, nor HTTP.
"""

from dataclasses import dataclass
from typing import Any, Final

from cffs.standin.audio import mp3_nbytes, wav_nbytes

Row = dict[str, Any]
"""One object as the API sends it."""

NEWEST_MS: Final = 1_717_243_200_000
"""2024-06-01 12:00 UTC, the time of the newest generated call; fixed, so that an account is the same on every day."""

CALL_STEP_MS: Final = 137_000
"""The time between two calls, so that 100,000 of them reach back 158 days."""

CALL_BASE: Final = 64_000_000_000
RECORDING_BASE: Final = 180_000_000_000
CAMPAIGN_BASE: Final = 4_490_000_000
MEDIA_BASE: Final = 10_300_000_000
ID_STEP: Final = 1000
ID_SHARD: Final = 3
"""Ids in CallFire's own samples end in 003."""

MAX_RECORDINGS_PER_CALL: Final = 100
"""The number of recording ids reserved for each call."""

MIN_SECONDS: Final = 5
SECONDS_SPAN: Final = 56
PLAIN_NAMES: Final = (
    "call_recording",
    "voicemail_recording",
    "customerResponse",
    "Größe – Straße",
    "録音 №1",
    "Ole O'Hara",
)
CAMPAIGN_NAMES: Final = (
    "Spring renewal reminders",
    "Customer survey: how was it?",
    "Winback 2023 / phase 2",
    'The "late" invoices',
    "Müller & Söhne – Rückrufe",
    "予約の確認",
    "Spring renewal reminders",
    "Appointments.",
)
"""Free text as users type it; one name occurs twice."""

DIALPLAN_XML: Final = (
    '<dialplan name="Root"><menu name="main" maxDigits="1"><play type="tts" voice="female1">Press 1 &amp; hold</play>'
    '<keypress pressed="1"><record name="customerResponse" varname="reply"/></keypress></menu></dialplan>'
)
"""An IVR broadcast has this instead of sounds: markup within JSON."""

LABELS: Final = ("survey", "follow up", "Müller & Co", "vip/gold", "do not call")
OWN_NUMBERS: Final = tuple(f"1213555{n:04d}" for n in range(100, 105))
OTHER_NUMBERS: Final = 400
RESULTS: Final = ("LA", "AM", "LA", "XFER", "NO_ANS")
FAILED_RESULTS: Final = ("NO_ANS", "BUSY", "CARRIER_ERROR")
ATTEMPT_LABELS: Final = ("second number", "transferred")
"""Labels of single attempts: for the further number of an outbound call, and for a caller put through."""

_MASK: Final = (1 << 64) - 1


def mixed(*parts: int) -> int:
    """A 64-bit hash of integers by splitmix64's finaliser: equal on every machine and every day."""
    state = 1
    for part in parts:
        state = (state + part) * 0x9E3779B97F4A7C15
    state &= _MASK
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
    return state ^ state >> 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The parameters of a generated account. Index 0 is the newest call; ids descend with the index."""

    seed: int
    calls: int
    recordings_per_call: int = 1
    campaigns: int = 8
    uncampaigned_every: int = 10
    """Every n-th call (by hash) belongs to no campaign; 0 for none."""
    attempts_every: int = 0
    """Every n-th call (by hash) has two records, one for each number that was tried; 0 for none."""
    newest_ms: int = NEWEST_MS
    """The time of the account's last use: no call, campaign or media file is newer."""

    def call_id(self, index: int) -> int:
        """The id of call `index`: 11 digits."""
        return CALL_BASE + (self.seed % 1000) * 10_000_000 + (self.calls - 1 - index) * ID_STEP + ID_SHARD

    def call_index(self, call_id: int) -> int | None:
        """The index of a call id; None where there is no such call."""
        steps, rest = divmod(call_id - self.call_id(self.calls - 1), ID_STEP)
        index = self.calls - 1 - steps
        return index if rest == 0 and 0 <= index < self.calls else None

    def recording_id(self, index: int, position: int) -> int:
        """The id of a generated recording: 12 digits, ascending with the call's id and the position in it."""
        return (
            RECORDING_BASE
            + (self.seed % 1000) * 10_000_000
            + ((self.calls - 1 - index) * MAX_RECORDINGS_PER_CALL + position) * 10
            + ID_SHARD
        )

    def recording_place(self, recording_id: int) -> tuple[int, int] | None:
        """The call index and position of a recording id; None where there is no such recording."""
        steps, rest = divmod(recording_id - self.recording_id(self.calls - 1, 0), 10)
        calls_up, position = divmod(steps, MAX_RECORDINGS_PER_CALL)
        index = self.calls - 1 - calls_up
        if rest or not 0 <= index < self.calls or position >= self.recordings_per_call:
            return None
        return index, position

    def campaign_ids(self) -> list[int]:
        """All campaigns, newest first: 10 digits."""
        first = CAMPAIGN_BASE + (self.seed % 1000) * 10_000 + ID_SHARD
        return [first + n * ID_STEP for n in reversed(range(self.campaigns))]

    def campaign_of(self, index: int) -> int:
        """The campaign id of a call, 0 for none."""
        if not self.campaigns:
            return 0
        if self.uncampaigned_every and mixed(self.seed, index, 1) % self.uncampaigned_every == 0:
            return 0
        n = mixed(self.seed, index, 2) % self.campaigns
        return CAMPAIGN_BASE + (self.seed % 1000) * 10_000 + n * 1000 + ID_SHARD

    def created_ms(self, index: int) -> int:
        """The time of call `index`; strictly descending with the index."""
        return self.newest_ms - index * CALL_STEP_MS - mixed(self.seed, index, 3) % (CALL_STEP_MS - 1000)

    def duration_seconds(self, index: int, position: int) -> int:
        """The length of a recording: 5 to 60 seconds."""
        return MIN_SECONDS + mixed(self.seed, index, 4, position) % SECONDS_SPAN

    def inbound(self, index: int) -> bool:
        """Whether the other side called."""
        return mixed(self.seed, index, 5) % 3 == 0

    def numbers(self, index: int) -> tuple[str, str]:
        """The numbers (from, to) of 11 digits; every 53rd inbound caller is anonymous, with an empty number."""
        own = OWN_NUMBERS[mixed(self.seed, index, 6) % len(OWN_NUMBERS)]
        other = f"1415{5_000_000 + mixed(self.seed, index, 7) % OTHER_NUMBERS * 137:07d}"
        if not self.inbound(index):
            return own, other
        return ("" if mixed(self.seed, index, 8) % 53 == 0 else other), own

    def attempt_numbers(self, index: int) -> list[str]:
        """The number of each attempt of a call, in order: the call's own `toNumber` first."""
        _from_number, to_number = self.numbers(index)
        if not self.attempts_every or mixed(self.seed, index, 16) % self.attempts_every:
            return [to_number]
        return [to_number, f"1628{5_000_000 + mixed(self.seed, index, 17) % OTHER_NUMBERS * 137:07d}"]

    def labels(self, index: int) -> list[str]:
        """No label, one or two."""
        first = mixed(self.seed, index, 9) % (2 * len(LABELS))
        if first >= len(LABELS):
            return []
        return [LABELS[first]] if first % 2 else [LABELS[first], LABELS[(first + 1) % len(LABELS)]]

    def call_row(self, index: int) -> Row:
        """The call as the API sends it, `records` empty of recordings.

        Recordings belong to the last attempt; those before it were not answered, or put a caller through.
        """
        from_number, to_number = self.numbers(index)
        created = self.created_ms(index)
        seconds = sum(self.duration_seconds(index, position) for position in range(self.recordings_per_call)) or 7
        call_id = self.call_id(index)
        result = RESULTS[mixed(self.seed, index, 10) % len(RESULTS)]
        numbers = self.attempt_numbers(index)
        records = [
            self._record(
                index, attempt, to_number=number, seconds=seconds, result=result, is_last=number == numbers[-1]
            )
            for attempt, number in enumerate(numbers)
        ]
        row: Row = {
            "id": call_id,
            "toNumber": to_number,
            "state": "FINISHED",
            "campaignId": self.campaign_of(index),
            "batchId": 0,
            "contact": {"id": call_id + 2_000_000_000, "homePhone": from_number if self.inbound(index) else to_number},
            "inbound": self.inbound(index),
            "created": created,
            "modified": created + 5000 + 1000 * seconds,
            "finalCallResult": result,
            "labels": self.labels(index),
            "attributes": {},
            "notes": [],
            "records": records,
            "agentCall": False,
        }
        if from_number:
            row["fromNumber"] = from_number
        return row

    def _record(self, index: int, attempt: int, *, to_number: str, seconds: int, result: str, is_last: bool) -> Row:
        """One attempt; one that is not the last lasted no time, unless it put a caller through."""
        inbound, began_ms = self.inbound(index), self.created_ms(index) + 1000 * attempt
        failed = FAILED_RESULTS[mixed(self.seed, index, 18) % len(FAILED_RESULTS)]
        lasted = seconds if is_last or inbound else 0
        return {
            "id": self.call_id(index) + 1_000_000_000 + attempt,
            "originateTime": began_ms,
            "answerTime": began_ms + 4000,
            "finishTime": began_ms + 4000 + 1000 * lasted,
            "duration": lasted,
            "billedAmount": 1.0 if lasted else 0.0,
            "toNumber": to_number,
            "callerName": "",
            "result": result if is_last else "XFER" if inbound else failed,
            "labels": [ATTEMPT_LABELS[inbound]] if attempt else [],
            "questionResponses": [],
            "notes": [],
            "recordings": [],
        }

    def recording_row(self, index: int, position: int) -> Row:
        """A recording as the API sends it, without `lengthInBytes` and `mp3Url`, which the account adds."""
        seconds = self.duration_seconds(index, position)
        recording_id = self.recording_id(index, position)
        return {
            "id": recording_id,
            "callId": self.call_id(index),
            "campaignId": self.campaign_of(index),
            "name": self.recording_name(index, position),
            "created": self.created_ms(index) + 5000 + 1000 * position,
            "lengthInSeconds": seconds,
            "hash": f"{mixed(self.seed, index, 11, position):016x}" if index % 2 else "",
            "state": "READY",
        }

    def recording_rows(self, index: int) -> list[Row]:
        """All generated recordings of a call."""
        return [self.recording_row(index, position) for position in range(self.recordings_per_call)]

    def recording_name(self, index: int, position: int) -> str:
        """The name of a recording: equal on different calls, different within one."""
        kind = mixed(self.seed, index, 12) % 12
        first = (kind + position) if kind < len(PLAIN_NAMES) else position
        if position < len(PLAIN_NAMES):
            return PLAIN_NAMES[first % len(PLAIN_NAMES)]
        return f"{PLAIN_NAMES[first % len(PLAIN_NAMES)]} {position}"

    def campaign_row(self, campaign_id: int) -> Row:
        """A broadcast as the API sends it; it has no creation time."""
        n = (campaign_id - CAMPAIGN_BASE - (self.seed % 1000) * 10_000) // 1000
        name = CAMPAIGN_NAMES[n % len(CAMPAIGN_NAMES)] + (f" ({n})" if n >= len(CAMPAIGN_NAMES) else "")
        return {
            "id": campaign_id,
            "name": name,
            "status": "RUNNING" if n % 2 else "FINISHED",
            "lastModified": self.newest_ms - n * 86_400_000,
            "fromNumber": OWN_NUMBERS[n % len(OWN_NUMBERS)],
            "labels": [LABELS[n % len(LABELS)]] if n % 2 else [],
            "maxActive": 100,
            "resumeNextDay": False,
            "localTimeRestriction": {"enabled": False},
            "retryConfig": {"maxAttempts": 2, "minutesBetweenAttempts": 60, "retryPhoneTypes": ["FIRST_NUMBER"]},
            **(
                {"dialplanXml": DIALPLAN_XML}
                if n % 4 == 3
                else {"sounds": {"liveSoundText": "Hello! This is a test.", "liveSoundId": campaign_id + 64}}
            ),
        }


def recording_nbytes(recording_id: int, seconds: float, *, form: str) -> int:
    """The size of a generated recording in one form; every third MP3 carries a tag, every eighth WAV is mu-law."""
    if form == "wav":
        return wav_nbytes(seconds, mulaw=is_mulaw(recording_id))
    return mp3_nbytes(seconds, id3_nbytes=10 + mixed(recording_id, 13) % 200 if mixed(recording_id, 14) % 3 == 0 else 0)


def is_mulaw(recording_id: int) -> bool:
    """Whether the WAV of that recording is mu-law."""
    return mixed(recording_id, 15) % 8 == 0
