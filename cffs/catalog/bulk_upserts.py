"""Whole pages of a listing put into rows, with few statements for what is new.

It owns the bulk insert of new calls and recordings. It must not know threads, transactions or listings. A first listing
is all new rows, and one statement for each of them was most of its cost; a row that is there already goes the way of a
single object (`catalog/upserts`).
"""

import json
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, TypeVar

from cffs.catalog import display_names, upserts, view_index
from cffs.core.values import Call, Campaign, Media, Recording

Row = TypeVar("Row", Campaign, Call, Media)

_KNOWN_CALLS = "SELECT id FROM calls WHERE id IN (SELECT value FROM json_each(?))"
#: Known by their own id, or by that of a call that has not been described yet.
_KNOWN_RECORDINGS = "SELECT id FROM recordings WHERE id IN (SELECT value FROM json_each(?))"
_CALLS_WITH_RECORDINGS = "SELECT DISTINCT call_id FROM recordings WHERE call_id IN (SELECT value FROM json_each(?))"


def put_campaigns(db: sqlite3.Connection, campaigns: Sequence[Campaign]) -> None:
    """Insert or refresh a page of campaigns."""
    for campaign in _by_id(campaigns):
        upserts.put_campaign(db, campaign)


def put_media(db: sqlite3.Connection, media: Sequence[Media]) -> None:
    """Insert or refresh a page of media files."""
    for file in _by_id(media):
        upserts.put_media(db, file)


def put_calls(db: sqlite3.Connection, calls: Sequence[Call]) -> None:
    """Insert or refresh a page of calls with the recordings embedded in them: the rows are those that
    `upserts.put_call` makes of one call after the other."""
    calls = _by_id(calls)
    new = _NewRows(db, calls)
    for call in calls:
        if not new.take(call):
            new.flush()  # rows are numbered in the order of the calls
            upserts.put_call(db, call)
    new.flush()


def _by_id(rows: Sequence[Row]) -> list[Row]:
    # Pages come newest first, and folders list rows in the order of their insertion. Sorted by id, a folder's order
    # within a page is that of its names: a program that reads a folder by name (a shell does) reads it in order, and
    # read-ahead works.
    return sorted(rows, key=lambda row: int(row.id))


class _NewRows:
    """Calls and recordings that have no row yet, until they are written together. Owned by `put_calls`."""

    def __init__(self, db: sqlite3.Connection, calls: Sequence[Call]) -> None:
        self._db = db
        call_ids = [call.id for call in calls]
        self._call_ids = _ids(db, _KNOWN_CALLS, call_ids) | _ids(db, _CALLS_WITH_RECORDINGS, call_ids)
        self._recording_ids = _ids(
            db, _KNOWN_RECORDINGS, [recording.id for call in calls for recording in call.recordings or ()]
        )
        self._zone = display_names.zone_of(db)
        self._folders: dict[tuple[str, str], int] = {}
        self._campaigns: set[int] = set()
        self._calls: list[tuple[Any, ...]] = []
        self._recordings: list[tuple[Any, ...]] = []
        self._places: list[tuple[int, int, int | None]] = []
        self._seq = 0

    def take(self, call: Call) -> bool:
        """Keep the call to be written with others; False where it, or a recording of it, has a row or is kept
        already."""
        recordings = call.recordings or ()
        ids = {recording.id for recording in recordings}
        is_known = call.id in self._call_ids or len(ids) < len(recordings) or not ids.isdisjoint(self._recording_ids)
        self._call_ids.add(call.id)
        self._recording_ids |= ids
        if is_known:
            return False
        campaign_id = call.campaign_id or 0
        if campaign_id not in self._campaigns:
            self._campaigns.add(campaign_id)
            upserts.note_campaign(self._db, campaign_id)
        memberships = upserts.memberships_of(call)
        given = display_names.new_call(display_names.parts_of_call(call), call.id, self._zone)
        self._calls.append(upserts.call_values(call, memberships, given))
        stems: set[str] = set()
        for recording in recordings:
            self._add(recording, call, stems, memberships)
        return True

    def _add(self, recording: Recording, call: Call, stems: set[str], memberships: view_index.Memberships) -> None:
        if not self._recordings:
            self._seq = upserts.next_recording_seq(self._db)
        seq = self._seq + len(self._recordings)
        stem = _usual_stem(recording.name)
        if stem is None or stem in stems:
            stem = upserts.recording_stem(recording.name, identity=recording.id, taken=stems)
        stems.add(stem)
        attempt = upserts.attempt_of(recording)
        listed, unsaid, _month = display_names.new_recording(
            display_names.parts_of_recording(recording, call), recording.id, recording.name, self._zone
        )
        values = upserts.recording_values(recording, call.campaign_id or 0)
        name = encode_basestring_ascii(recording.name)
        self._recordings.append((*values, recording.id, call.id, name, stem, seq, *attempt, listed, unsaid))
        folders = view_index.folders(self._db, memberships, attempt, known=self._folders)
        self._places += [(folder, seq, recording.created_ms) for folder in folders]

    def flush(self) -> None:
        """Write what has been kept."""
        self._db.executemany(upserts.INSERT_CALL, self._calls)
        self._db.executemany(upserts.INSERT_RECORDING, self._recordings)
        view_index.place_all(self._db, self._places)
        self._calls, self._recordings, self._places = [], [], []


def _ids(db: sqlite3.Connection, statement: str, ids: list[Any]) -> set[int]:
    return {found for (found,) in db.execute(statement, (json.dumps(ids),))}


@lru_cache(4096)
def _usual_stem(name: str) -> str | None:
    """The stem of a recording whose call has no other of that name; None where the stem holds the recording's id. Most
    recordings of an account have the same name."""
    one, other = (upserts.recording_stem(name, identity=identity, taken=()) for identity in (1, 2))
    return one if one == other else None
