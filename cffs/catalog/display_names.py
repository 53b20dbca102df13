"""Names of calls, recordings and campaigns in listings: given once, and kept.

It owns what a name says, and what it may still come to say. It must not know folders of the tree, or extensions. A row
keeps what its name says for as long as a part of it is unknown (`unsaid`); an object of which only the id is known has
no name yet.
"""

import json
import sqlite3
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cffs.core.listed_names import NameParts, campaign_folder, listed_stem, name_parts, other_side
from cffs.core.times import date_folders
from cffs.core.units import NS_PER_MS
from cffs.core.values import Call, Recording, RecordingState

#: The names of two settings: the zone of the times in names, and when the account was first seen here.
TIMEZONE = "timezone"
FIRST_SEEN = "first_seen_ms"
UTC = "UTC"
_MONTHS = 12


class Given(NamedTuple):
    """What a row keeps of its name: the name; its parts, where some are not known yet; and the month that it says (year
    * 12 + month - 1, None without a time)."""

    listed: str | None
    unsaid: str | None
    month: int | None = None


def zone_of(db: sqlite3.Connection) -> ZoneInfo:
    """The zone of the times in names: that of the first mount."""
    found = db.execute("SELECT value FROM settings WHERE name = ?", (TIMEZONE,)).fetchone()
    return _zone(found[0] if found is not None else UTC)


@lru_cache(8)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a machine that knows fewer zones than the first one did
        return ZoneInfo(UTC)


def month_of(created_ms: int, zone: ZoneInfo) -> int:
    """The month in a name with that time."""
    year, month, _day = date_folders(created_ms * NS_PER_MS, zone=zone)
    return int(year) * _MONTHS + int(month) - 1


# -- calls --


def parts_of_call(call: Call) -> NameParts:
    """The parts of a call's name, as far as the service has described it."""
    number = other_side(inbound=call.inbound, from_number=call.from_number, to_number=call.to_number)
    return name_parts(created_ms=call.created_ms, inbound=call.inbound, number=sql_text(number), seconds=call.seconds)


def new_call(parts: NameParts, call_id: int, zone: ZoneInfo) -> Given:
    """The name of a call that has none yet."""
    unsaid = None if parts.is_whole else parts.to_text()
    month = None if parts.created_ms is None else month_of(parts.created_ms, zone)
    return Given(listed_stem(parts, identity=call_id, zone=zone), unsaid, month)


def call_again(db: sqlite3.Connection, call: Call) -> Given:
    """The name of a call that may have one: what it says stays, and what it could not say before is added."""
    found = db.execute("SELECT listed, unsaid, month FROM calls WHERE id = ?", (call.id,)).fetchone()
    kept = Given(None, None) if found is None else Given(*found)
    if kept.listed is not None and kept.unsaid is None:
        return kept
    given = NameParts() if kept.unsaid is None else NameParts.from_text(kept.unsaid)
    parts = given.joined_by(parts_of_call(call))
    return kept if kept.listed is not None and parts == given else new_call(parts, call.id, zone_of(db))


# -- recordings --


def new_recording(parts: NameParts, recording_id: int, name: str, zone: ZoneInfo) -> Given:
    """The name of a recording that has none yet."""
    unsaid = None if parts.is_whole else parts.to_text()
    return Given(listed_stem(parts, identity=recording_id, name=name, zone=zone), unsaid)


def parts_of_recording(recording: Recording, call: Call) -> NameParts:
    """The parts of a recording's name, as far as the service has described it and its call."""
    number = other_side(
        inbound=call.inbound,
        from_number=call.from_number,
        to_number=call.to_number,
        tried_number=recording.to_number,
    )
    seconds = seconds_told(recording.seconds, recording.state)
    return name_parts(created_ms=recording.created_ms, inbound=call.inbound, number=sql_text(number), seconds=seconds)


def seconds_told(seconds: int | None, state: RecordingState) -> int | None:
    """How long a recording is; unknown while it is being made."""
    return None if state is RecordingState.RECORDING else seconds


_UNSAID = (
    "SELECT r.seq, r.id, r.name, r.unsaid, r.created_ms, r.seconds, r.state, r.to_number, c.inbound,"
    " coalesce(c.from_number, ''), coalesce(c.to_number, '')"
    " FROM recordings r LEFT JOIN calls c ON c.id = r.call_id WHERE (r.unsaid NOT NULL OR r.listed IS NULL) AND "
)
_UNSAID_ONE = f"{_UNSAID} r.id = ?"
_UNSAID_OF_CALL = f"{_UNSAID} r.call_id = ?"


def complete_recording(db: sqlite3.Connection, recording_id: int) -> None:
    """Give a recording its name, or add to it what has become known."""
    _complete(db, db.execute(_UNSAID_ONE, (recording_id,)).fetchall())


def complete_recordings(db: sqlite3.Connection, call_id: int) -> None:
    """Do as `complete_recording` for all recordings of a call."""
    _complete(db, db.execute(_UNSAID_OF_CALL, (call_id,)).fetchall())


def _complete(db: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    zone = zone_of(db) if rows else None
    for seq, ident, name, unsaid, created_ms, seconds, state, tried, inbound, from_number, to_number in rows:
        given = NameParts() if unsaid is None else NameParts.from_text(str(unsaid))
        is_inbound = None if inbound is None else bool(inbound)
        number = other_side(
            inbound=is_inbound, from_number=str(from_number), to_number=str(to_number), tried_number=str(tried)
        )
        now = name_parts(
            created_ms=created_ms,  # type: ignore[arg-type]  # columns of our own tables
            inbound=is_inbound,
            number=number,
            seconds=seconds_told(seconds, RecordingState(str(state))),  # type: ignore[arg-type]  # as above
        )
        parts = given.joined_by(now)
        if zone is not None and (unsaid is None or parts != given):
            named = new_recording(parts, int(str(ident)), json.loads(str(name)), zone)
            db.execute("UPDATE recordings SET listed = ?, unsaid = ? WHERE seq = ?", (named.listed, named.unsaid, seq))


# -- campaigns --


def name_campaign(db: sqlite3.Connection, campaign_id: int, name: str) -> None:
    """Give the campaign its name among campaigns/, once."""
    named = db.execute("SELECT 1 FROM campaigns WHERE id = ? AND stem IS NOT NULL", (campaign_id,)).fetchone()
    if named is None:

        def is_taken(folder: str) -> bool:
            return db.execute("SELECT 1 FROM campaigns WHERE stem = ?", (folder,)).fetchone() is not None

        stem = campaign_folder(name, identity=campaign_id, is_taken=is_taken)
        db.execute("UPDATE campaigns SET stem = ? WHERE id = ?", (stem, campaign_id))


def sql_text(text: str) -> str:
    """The text as SQLite can keep it: a lone surrogate would raise when it is bound. Names, which must come back as
    they were sent, are kept as ASCII JSON instead; for numbers a replacement will do, as the document keeps what was
    sent."""
    return text.encode("utf-8", "replace").decode("utf-8")
