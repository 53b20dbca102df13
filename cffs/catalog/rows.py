"""Rows of the catalogue as values, and the statements that read them.

It owns the columns of each row. It must not know where rows come from, nor what the tree makes of them. Rows that a
listing makes by the ten thousand are named tuples: a frozen dataclass is made field by field in Python, at five times
the price.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from cffs.core.values import RecordingState


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign. Where only its id is known (from v1, or from a call), `document` is None, and so is `folder`, the
    name it is listed under. `seen_ms` is when it was first seen."""

    seq: int
    id: int
    name: str
    modified_ms: int | None
    document: bytes | None
    folder: str | None
    seen_ms: int | None


class CallRow(NamedTuple):
    """A call; `campaign_id` is 0 for none. `recordings_known` and `files_known` are true where v2's or v1's list of it
    was seen whole. `listed` is the name of its folder, None where only its id is known; `month` is the month in that
    name."""

    seq: int
    id: int
    campaign_id: int
    created_ms: int | None
    document: bytes | None
    recordings_known: bool
    files_known: bool
    listed: str | None
    month: int | None
    seen_ms: int | None

    @property
    def dated_ms(self) -> int | None:
        """When it was made, else when it was first seen."""
        return self.seen_ms if self.created_ms is None else self.created_ms


class ListedCall(NamedTuple):
    """What a folder of calls shows of one."""

    seq: int
    id: int
    listed: str | None
    created_ms: int | None


class RecordingRow(NamedTuple):
    """A recording as v2 described it, or that was imported and of which only the id is known (`is_undescribed`). `stem`
    is its file name in its call's folder without an extension, `listed` the one in every other folder. `tried_number`
    is the number of its own attempt."""

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
    listed: str
    tried_number: str
    seen_ms: int | None

    @property
    def dated_ms(self) -> int | None:
        """When it was made, else when it was first seen."""
        return self.seen_ms if self.created_ms is None else self.created_ms

    @property
    def is_undescribed(self) -> bool:
        """True where nothing but its id is known."""
        told = (self.created_ms, self.hint_nbytes, self.seconds)
        return not self.call_id and self.state is RecordingState.UNKNOWN and told == (None, None, None)


class ListedRecording(NamedTuple):
    """What a folder of recordings shows of one; `file_seq` is the row of v1's file of the same id, where that was asked
    for and there is one."""

    seq: int
    id: int
    listed: str
    created_ms: int | None
    hint_nbytes: int | None
    seconds: int | None
    state: str
    seen_ms: int | None
    file_seq: int | None


@dataclass(frozen=True, slots=True)
class FileRow:
    """A recording file in v1's list of a call; `call_id` is 0 where it was imported."""

    seq: int
    id: int
    call_id: int
    campaign_id: int
    seen_ms: int | None


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
    seen_ms: int | None

    @property
    def dated_ms(self) -> int | None:
        """When it was made, else when it was first seen."""
        return self.seen_ms if self.created_ms is None else self.created_ms


@dataclass(frozen=True, slots=True)
class DynamicRow:
    """A dynamic recording that was looked up or imported; every part as spelt."""

    seq: int
    hash: str
    year: str
    month: str
    campaign: str
    filename: str
    seen_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A free-form answer (account, billing) as it is shown: the rendered bytes, when they were asked for, and when that
    answer first came."""

    key: str
    refreshed_ms: int
    body: bytes
    seen_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What the origin's own answers have shown of an object's bytes.

    `source` is the key of the source that answered; `version` grows whenever the object is found changed, and `seen_ms`
    is when that version was first seen.
    """

    object_key: str
    source: str
    nbytes: int | None
    validator: str | None
    modified_ns: int | None
    version: int = 0
    seen_ms: int | None = None


#: Names repeat: most recordings of an account have the same one.
_text = lru_cache(4096)(json.loads)
_STATES = {state.value: state for state in RecordingState}


def call_row(
    seq: int,
    call_id: int,
    campaign_id: int,
    created_ms: int | None,
    document: bytes | None,
    are_listed: int,
    have_files: int,
    *named: Any,
) -> CallRow:
    """A row of `calls`, as it was selected."""
    return CallRow(seq, call_id, campaign_id, created_ms, document, bool(are_listed), bool(have_files), *named)


def recording_row(*row: Any) -> RecordingRow:
    """A row of `recordings`, as it was selected."""
    seq, ident, call_id, campaign_id, name, stem, created_ms, hint_nbytes, seconds, state, *rest = row
    return RecordingRow(
        seq, ident, call_id, campaign_id, _text(name), stem, created_ms, hint_nbytes, seconds, _STATES[state], *rest
    )


#: What is read of a call `c`, and of a recording `r`.
CALL_COLUMNS = (
    "SELECT c.seq, c.id, c.campaign_id, c.created_ms, c.document, c.recordings_known, c.files_known, c.listed, c.month,"
    " c.seen_ms"
)
RECORDING_COLUMNS = (
    "r.seq, r.id, r.call_id, r.campaign_id, r.name, r.stem, r.created_ms, r.hint_nbytes, r.seconds, r.state,"
    " r.document, r.listed, r.to_number, r.seen_ms"
)
_CAMPAIGN = "SELECT seq, id, name, modified_ms, document, stem, seen_ms FROM campaigns"
_CALL = f"{CALL_COLUMNS} FROM calls c"
_LISTED_CALL = "SELECT seq, id, listed, created_ms FROM calls"
_RECORDING = f"SELECT {RECORDING_COLUMNS} FROM recordings r"  # nosec B608  # noqa: S608 - names of our own
_FILE = "SELECT f.seq, f.id, f.call_id, f.campaign_id, f.seen_ms FROM files f"
_MEDIA = (
    "SELECT seq, id, name, stem, extension, created_ms, hint_nbytes, public_key, public_extension, document, seen_ms"
    " FROM media"
)
_DYNAMIC = "SELECT seq, hash, year, month, campaign, filename, seen_ms FROM dynamic_files"

CAMPAIGN_BY_ID = f"{_CAMPAIGN} WHERE id = ?"
CAMPAIGN_BY_FOLDER = f"{_CAMPAIGN} WHERE stem = ?"
CAMPAIGNS_AFTER = f"{_CAMPAIGN} WHERE seq > ? ORDER BY seq LIMIT ?"
CALL_BY_ID = f"{_CALL} WHERE id = ?"
#: With the time of the newest recording, else of the newest call, else its own: the last entry of an index each.
LISTED_CAMPAIGNS_AFTER = (
    "SELECT coalesce((SELECT max(coalesce(r.created_ms, -9223372036854775808)) FROM recordings r"
    " WHERE r.campaign_id = c.id AND coalesce(r.created_ms, -9223372036854775808) BETWEEN 0 AND ?1),"
    " (SELECT max(created_ms) FROM calls WHERE campaign_id = c.id AND created_ms < ?1), c.modified_ms, c.seen_ms),"
    " c.seq, c.id, c.name, c.modified_ms, c.document, c.stem, c.seen_ms FROM campaigns c"
    " WHERE c.seq > ?2 ORDER BY c.seq LIMIT ?3"
)
CALLS_AFTER = f"{_LISTED_CALL} WHERE seq > ? ORDER BY seq LIMIT ?"
CALLS_OF_CAMPAIGN_AFTER = f"{_LISTED_CALL} WHERE campaign_id = ? AND seq > ? ORDER BY seq LIMIT ?"
CALLS_OF_MONTH_AFTER = f"{_LISTED_CALL} WHERE month IS ? AND seq > ? ORDER BY seq LIMIT ?"
#: Step by step along the index, without a look at every call.
MONTHS = (
    "WITH RECURSIVE months (month) AS (SELECT min(month) FROM calls UNION ALL"
    " SELECT (SELECT min(month) FROM calls WHERE month > months.month) FROM months WHERE month NOT NULL)"
    " SELECT month FROM months WHERE month NOT NULL"
)
UNDATED_CALL = "SELECT 1 FROM calls WHERE month IS NULL LIMIT 1"
NEWEST_CALL_OF_CAMPAIGN = "SELECT max(created_ms) FROM calls WHERE campaign_id = ? AND created_ms < ?"
NEWEST_CALL_OF_MONTH = "SELECT max(created_ms) FROM calls WHERE month IS ? AND created_ms < ?"
RECORDING_BY_ID = f"{_RECORDING} WHERE id = ?"
RECORDING_BY_STEM = f"{_RECORDING} WHERE call_id = ? AND stem = ?"
RECORDINGS_OF_CALL = f"{_RECORDING} WHERE call_id = ? ORDER BY seq"
RECORDINGS_AFTER = f"{_RECORDING} WHERE seq > ? ORDER BY seq LIMIT ?"
FILE_BY_ID = f"{_FILE} WHERE id = ?"
FILES_OF_CALL = f"{_FILE} WHERE call_id = ? ORDER BY seq"
FILES_AFTER = f"{_FILE} WHERE seq > ? ORDER BY seq LIMIT ?"
#: Files without a recording of v2 of the same id.
FILES_OF_CAMPAIGN_AFTER = (
    "SELECT f.seq, f.id, f.call_id, f.campaign_id, f.seen_ms FROM files f WHERE f.campaign_id = ? AND f.seq > ?"
    " AND NOT EXISTS (SELECT 1 FROM recordings r WHERE r.id = f.id) ORDER BY f.seq LIMIT ?"
)
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
_FACT = "SELECT f.object_key, f.source, f.nbytes, f.validator, f.modified_ns, f.version, f.seen_ms"
FACT = f"{_FACT} FROM facts f WHERE object_key = ?"
FACTS = f"{_FACT} FROM json_each(?) k CROSS JOIN facts f ON f.object_key = k.value"
VERSIONS = "SELECT object_key, version FROM facts WHERE version > 0"
COUNTS = (
    "SELECT (SELECT count(*) FROM campaigns), (SELECT count(*) FROM calls), (SELECT count(*) FROM recordings),"
    " (SELECT count(*) FROM media)"
)
ABSENCES = "SELECT key FROM absences"
CALLS_WITHOUT_RECORDINGS = (
    "SELECT id FROM calls WHERE recordings_known = 0 AND document IS NOT NULL ORDER BY created_ms DESC LIMIT ?"
)
#: Only the ids of these are known: from a recording, from v1's list, or imported.
UNDESCRIBED_CALLS = "SELECT id FROM calls WHERE document IS NULL ORDER BY seq DESC LIMIT ?"
UNDESCRIBED_RECORDINGS = (
    "SELECT id FROM recordings WHERE call_id = 0 AND created_ms IS NULL AND hint_nbytes IS NULL AND seconds IS NULL"
    " AND state = 'UNKNOWN' ORDER BY seq DESC LIMIT ?"
)
CALLS_OF_CAMPAIGN_WITHOUT_RECORDINGS = (
    "SELECT id FROM calls WHERE recordings_known = 0 AND document IS NOT NULL AND campaign_id = ?"
    " ORDER BY created_ms DESC LIMIT ?"
)
LISTING = "SELECT refreshed_ms FROM listings WHERE name = ?"
DOCUMENT = "SELECT key, refreshed_ms, body, seen_ms FROM documents WHERE key = ?"
#: Exact sizes of recordings beside those of their listing: a few show what hints measure.
HINTS_AND_SIZES = (
    "SELECT substr(f.object_key, -3), r.hint_nbytes, f.nbytes FROM facts f JOIN recordings r"
    " ON r.id = CAST(substr(f.object_key, 11) AS INTEGER)"
    " WHERE f.object_key LIKE 'recording/%' AND f.nbytes NOT NULL AND r.hint_nbytes NOT NULL LIMIT 64"
)
#: The highest sequence numbers: counting a million rows takes 0.1 s.
KNOWN_FILES = (
    "SELECT coalesce((SELECT max(seq) FROM recordings), 0) + coalesce((SELECT max(seq) FROM files), 0)"
    " + coalesce((SELECT max(seq) FROM media), 0) + coalesce((SELECT max(seq) FROM dynamic_files), 0)"
)
NEWEST_MEDIA = "SELECT max(coalesce(created_ms, seen_ms)) FROM media"
#: Of the folder that is that many levels deep: hash, year, month, campaign.
NEWEST_DYNAMIC = (
    "SELECT max(seen_ms) FROM dynamic_files",
    "SELECT max(seen_ms) FROM dynamic_files WHERE hash = ?",
    "SELECT max(seen_ms) FROM dynamic_files WHERE hash = ? AND year = ?",
    "SELECT max(seen_ms) FROM dynamic_files WHERE hash = ? AND year = ? AND month = ?",
    "SELECT max(seen_ms) FROM dynamic_files WHERE hash = ? AND year = ? AND month = ? AND campaign = ?",
)
KNOWN_NBYTES = "SELECT nbytes FROM totals"
SETTING = "SELECT value FROM settings WHERE name = ?"
HINT_OF_RECORDING = "SELECT hint_nbytes FROM recordings WHERE id = ?"
