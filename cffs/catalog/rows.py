"""The rows of the catalogue as values, and the statements that read them.

It must not know where rows come from nor what the tree makes of them.
`catalog/store` reads with it; the tree sees the values. Those that a listing makes by the ten thousand are named
tuples: a frozen dataclass is made field by field in Python, at five times the price.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from cffs.core.values import RecordingState


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign; `document` is None where only its id is known (v1 alone, or a call told it)."""

    seq: int
    id: int
    name: str
    modified_ms: int | None
    document: bytes | None


class CallRow(NamedTuple):
    """A call; `campaign_id` 0 = none. `recordings_known`/`files_known`: v2's/v1's list of it was seen whole."""

    seq: int
    id: int
    campaign_id: int
    created_ms: int | None
    document: bytes | None
    recordings_known: bool
    files_known: bool


class RecordingRow(NamedTuple):
    """A recording that v2 told of; `stem` is its file name in its call's folder without an extension."""

    seq: int
    id: int
    call_id: int
    campaign_id: int
    name: str
    stem: str
    created_ms: int | None
    hint_nbytes: int | None
    seconds: int | None
    state: RecordingState
    document: bytes


@dataclass(frozen=True, slots=True)
class FileRow:
    """A recording file that v1's list told of."""

    seq: int
    id: int
    call_id: int
    campaign_id: int


@dataclass(frozen=True, slots=True)
class MediaRow:
    """A media file; `stem` is its name under by-name/ without the extension."""

    seq: int
    id: int
    name: str
    stem: str
    extension: str
    created_ms: int | None
    hint_nbytes: int | None
    public_key: str | None
    public_extension: str | None
    document: bytes


@dataclass(frozen=True, slots=True)
class DynamicRow:
    """A dynamic recording that was looked up or imported; every part as spelt."""

    seq: int
    hash: str
    year: str
    month: str
    campaign: str
    filename: str


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A free-form answer (account, billing) as it is shown: rendered bytes and when they were asked."""

    key: str
    refreshed_ms: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What the origin's own answers taught about an object's bytes.

    `source` is the key of the source that answered; `version` grows whenever the object is found changed.
    """

    object_key: str
    source: str
    nbytes: int | None
    validator: str | None
    modified_ns: int | None
    version: int = 0


#: Names repeat: most recordings of an account are called the same.
_text = lru_cache(4096)(json.loads)
_STATES = {state.value: state for state in RecordingState}


def call_row(
    seq: int, call_id: int, campaign_id: int, created_ms: int | None, document: bytes | None, listed: int, files: int
) -> CallRow:
    """A row of `calls` as it was selected."""
    return CallRow(seq, call_id, campaign_id, created_ms, document, bool(listed), bool(files))


def recording_row(*row: Any) -> RecordingRow:
    """A row of `recordings` as it was selected."""
    seq, ident, call_id, campaign_id, name, stem, created_ms, hint_nbytes, seconds, state, document = row
    return RecordingRow(
        seq, ident, call_id, campaign_id, _text(name), stem, created_ms, hint_nbytes, seconds, _STATES[state], document
    )


_CAMPAIGN = "SELECT seq, id, name, modified_ms, document FROM campaigns"
_CALL = "SELECT seq, id, campaign_id, created_ms, document, recordings_known, files_known FROM calls"
_RECORDING = (
    "SELECT seq, id, call_id, campaign_id, name, stem, created_ms, hint_nbytes, seconds, state, document"
    " FROM recordings"
)
_FILE = "SELECT seq, id, call_id, campaign_id FROM files"
_MEDIA = (
    "SELECT seq, id, name, stem, extension, created_ms, hint_nbytes, public_key, public_extension, document FROM media"
)
_DYNAMIC = "SELECT seq, hash, year, month, campaign, filename FROM dynamic_files"

CAMPAIGN_BY_ID = f"{_CAMPAIGN} WHERE id = ?"
CAMPAIGNS_AFTER = f"{_CAMPAIGN} WHERE seq > ? ORDER BY seq LIMIT ?"
CALL_BY_ID = f"{_CALL} WHERE id = ?"
CALLS_OF_CAMPAIGN_AFTER = "SELECT seq, id FROM calls WHERE campaign_id = ? AND seq > ? ORDER BY seq LIMIT ?"
RECORDING_BY_ID = f"{_RECORDING} WHERE id = ?"
RECORDING_BY_STEM = f"{_RECORDING} WHERE call_id = ? AND stem = ?"
RECORDINGS_OF_CALL = f"{_RECORDING} WHERE call_id = ? ORDER BY seq"
RECORDINGS_AFTER = f"{_RECORDING} WHERE seq > ? ORDER BY seq LIMIT ?"
FILE_BY_ID = f"{_FILE} WHERE id = ?"
FILES_OF_CALL = f"{_FILE} WHERE call_id = ? ORDER BY seq"
FILES_AFTER = f"{_FILE} WHERE seq > ? ORDER BY seq LIMIT ?"
MEDIA_BY_ID = f"{_MEDIA} WHERE id = ?"
MEDIA_BY_STEM = f"{_MEDIA} WHERE stem = ? AND extension = ?"
MEDIA_AFTER = f"{_MEDIA} WHERE seq > ? ORDER BY seq LIMIT ?"
MEDIA_BY_PUBLIC_KEY = f"{_MEDIA} WHERE public_key = ?"
DYNAMIC_BY_NAME = f"{_DYNAMIC} WHERE hash = ? AND year = ? AND month = ? AND campaign = ? AND filename = ?"
DYNAMIC_IN_FOLDER = f"{_DYNAMIC} WHERE hash = ? AND year = ? AND month = ? AND campaign = ? ORDER BY seq"
#: The distinct folder names of one level, given 0 to 3 parent levels; the first row's seq stands for the folder.
DYNAMIC_FOLDERS = (
    "SELECT min(seq), hash FROM dynamic_files GROUP BY hash ORDER BY min(seq)",
    "SELECT min(seq), year FROM dynamic_files WHERE hash = ? GROUP BY year ORDER BY min(seq)",
    "SELECT min(seq), month FROM dynamic_files WHERE hash = ? AND year = ? GROUP BY month ORDER BY min(seq)",
    "SELECT min(seq), campaign FROM dynamic_files WHERE hash = ? AND year = ? AND month = ? GROUP BY campaign ORDER BY min(seq)",  # noqa: E501  # one statement, one line
)
FACT = "SELECT object_key, source, nbytes, validator, modified_ns, version FROM facts WHERE object_key = ?"
FACTS = (
    "SELECT f.object_key, f.source, f.nbytes, f.validator, f.modified_ns, f.version FROM json_each(?) k"
    " CROSS JOIN facts f ON f.object_key = k.value"
)
COUNTS = (
    "SELECT (SELECT count(*) FROM campaigns), (SELECT count(*) FROM calls), (SELECT count(*) FROM recordings),"
    " (SELECT count(*) FROM media)"
)
ABSENCES = "SELECT key FROM absences"
CALLS_WITHOUT_RECORDINGS = (
    "SELECT id FROM calls WHERE recordings_known = 0 AND document IS NOT NULL ORDER BY created_ms DESC LIMIT ?"
)
LISTING = "SELECT refreshed_ms FROM listings WHERE name = ?"
DOCUMENT = "SELECT key, refreshed_ms, body FROM documents WHERE key = ?"
#: Exact sizes of recordings beside what their listing said; a few tell what hints measure.
HINTS_AND_SIZES = (
    "SELECT substr(f.object_key, -3), r.hint_nbytes, f.nbytes FROM facts f JOIN recordings r"
    " ON r.id = CAST(substr(f.object_key, 11) AS INTEGER)"
    " WHERE f.object_key LIKE 'recording/%' AND f.nbytes NOT NULL AND r.hint_nbytes NOT NULL LIMIT 64"
)
HINT_OF_RECORDING = "SELECT hint_nbytes FROM recordings WHERE id = ?"
