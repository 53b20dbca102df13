"""Upserts: answers of the service put into rows that keep their numbers and names.

It owns the statements that write single objects. It must not know threads or transactions, nor who asked. Names and
sequence numbers are given once, when a row is inserted, and kept.
"""

import json
import sqlite3
from collections.abc import Container, Iterable
from json.encoder import encode_basestring_ascii

from cffs.catalog import display_names, view_index
from cffs.catalog.rows import DynamicRow, Fact
from cffs.core.json_values import encode_decoded
from cffs.core.media_types import stem_of
from cffs.core.names import encode_name, file_name
from cffs.core.probe_names import is_probe_name
from cffs.core.values import Call, Campaign, Media, Recording, RecordingList, RecordingState

#: Stems in a call's folder that are ours, whatever a recording is called.
RESERVED_CALL_STEMS = frozenset({"call"})
#: What can follow a recording's stem; the longest leaves every form of a name within 255 bytes.
_RECORDING_EXTENSIONS = (".json", ".mp3", ".wav")


def _stem(text: str, *, identity: int, extensions: tuple[str, ...], taken: Container[str]) -> str:
    """The stem of an object's file names in a folder where the stems `taken` are given. No name made of it is one that
    file managers probe by habit, since those are answered without a look."""
    longest = extensions[0]

    def is_taken(name: str) -> bool:
        stem = name.removesuffix(longest)
        return stem in taken or any(is_probe_name(stem + extension) for extension in extensions)

    return file_name(encode_name(text), extension=longest, id=identity, taken=is_taken).removesuffix(longest)


def put_campaign(db: sqlite3.Connection, campaign: Campaign) -> None:
    """Insert or refresh a campaign that v2 described."""
    db.execute(
        "INSERT INTO campaigns (id, name, modified_ms, document, seen_ms) VALUES (?, ?, ?, ?, unixepoch() * 1000)"
        " ON CONFLICT (id) DO UPDATE SET"
        " name = excluded.name, modified_ms = excluded.modified_ms, document = excluded.document",
        (campaign.id, json.dumps(campaign.name), campaign.modified_ms, encode_decoded(campaign.document)),
    )
    display_names.name_campaign(db, campaign.id, campaign.name)


def note_campaign(db: sqlite3.Connection, campaign_id: int) -> None:
    """Remember that a campaign exists of which only the id is known."""
    if campaign_id:
        db.execute("INSERT OR IGNORE INTO campaigns (id, seen_ms) VALUES (?, unixepoch() * 1000)", (campaign_id,))


INSERT_CALL = (
    "INSERT INTO calls (id, campaign_id, created_ms, from_number, to_number, inbound, labels, document,"
    " recordings_known, listed, unsaid, month, seen_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, unixepoch() * 1000)"
)
# both parts are ours; what the service sent is bound
_PUT_CALL = INSERT_CALL + (  # nosec B608
    " ON CONFLICT (id) DO UPDATE SET"
    " campaign_id = excluded.campaign_id, created_ms = excluded.created_ms, from_number = excluded.from_number,"
    " to_number = excluded.to_number, inbound = excluded.inbound, labels = excluded.labels,"
    " document = excluded.document, recordings_known = max(recordings_known, excluded.recordings_known),"
    " listed = excluded.listed, unsaid = excluded.unsaid, month = excluded.month"
)
_BEFORE = "SELECT seq, call_id, created_ms, to_number, labels FROM recordings WHERE id = ?"
_PUT_RECORDING = (
    "UPDATE recordings SET campaign_id = ?, created_ms = ?, hint_nbytes = ?, seconds = ?, state = ?, document = ?,"
    " to_number = ?, labels = ? WHERE id = ?"
)
#: The recordings of a call move with it into another campaign.
_MOVE_RECORDINGS = "UPDATE recordings SET campaign_id = ? WHERE call_id = ? AND campaign_id <> ?"
INSERT_RECORDING = (
    "INSERT INTO recordings (campaign_id, created_ms, hint_nbytes, seconds, state, document, id, call_id, name,"
    " stem, seq, to_number, labels, listed, unsaid, seen_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, unixepoch() * 1000)"
)


def memberships_of(call: Call) -> view_index.Memberships:
    """What decides in which folders of the views the recordings of the call are."""
    return (
        display_names.sql_text(call.from_number),
        display_names.sql_text(call.to_number),
        json.dumps(call.labels) if call.labels else "[]",
    )


def attempt_of(recording: Recording) -> view_index.Attempt:
    """What the attempt in which a recording was made adds to that."""
    labels = json.dumps(recording.labels) if recording.labels else "[]"
    return view_index.Attempt(display_names.sql_text(recording.to_number), labels)


def call_values(call: Call, memberships: view_index.Memberships, given: display_names.Given) -> tuple[object, ...]:
    """What `INSERT_CALL` binds."""
    from_number, to_number, labels = memberships
    return (
        call.id,
        call.campaign_id or 0,
        call.created_ms,
        from_number,
        to_number,
        call.inbound,
        labels,
        encode_decoded(call.document),
        call.recordings is not None,
        *given,
    )


def recording_values(recording: Recording, campaign_id: int) -> tuple[object, ...]:
    """The first six values that `INSERT_RECORDING` binds: those that change."""
    return (
        campaign_id,
        recording.created_ms,
        recording.hint_nbytes,
        recording.seconds,
        recording.state.value,
        encode_decoded(recording.document),
    )


def recording_stem(name: str, *, identity: int, taken: Iterable[str]) -> str:
    """The file name, without an extension, of a recording in its call's folder, where others have the stems `taken`."""
    return _stem(name, identity=identity, extensions=_RECORDING_EXTENSIONS, taken={*taken, *RESERVED_CALL_STEMS})


def next_recording_seq(db: sqlite3.Connection) -> int:
    """The next sequence number: one that no recording has had, those that were removed among them."""
    (seq,) = db.execute(
        "SELECT 1 + max((SELECT seq FROM recordings_left), (SELECT coalesce(max(seq), 0) FROM recordings))"
    ).fetchone()
    return int(seq)


def put_call(db: sqlite3.Connection, call: Call) -> None:
    """Insert or refresh a call that v2 described, with the recordings embedded in it, where its answer has any."""
    campaign_id = call.campaign_id or 0
    before = view_index.memberships(db, call.id)
    now = memberships_of(call)
    db.execute(_PUT_CALL, call_values(call, now, display_names.call_again(db, call)))
    note_campaign(db, campaign_id)
    db.execute(_MOVE_RECORDINGS, (campaign_id, call.id, campaign_id))
    if before is not None and before != now:
        view_index.place_call(db, call.id)
    for recording in call.recordings or ():
        put_recording(db, recording, call_id=call.id, campaign_id=campaign_id, of_call=now)
    display_names.complete_recordings(db, call.id)


def note_call(db: sqlite3.Connection, *, call_id: int, campaign_id: int) -> None:
    """Remember a call of which only the ids are known, from v1 or from a recording."""
    note_campaign(db, campaign_id)
    db.execute(
        "INSERT INTO calls (id, campaign_id, seen_ms) VALUES (?, ?, unixepoch() * 1000) ON CONFLICT (id) DO UPDATE SET"
        " campaign_id = CASE campaign_id WHEN 0 THEN excluded.campaign_id ELSE campaign_id END",
        (call_id, campaign_id),
    )


def put_recording(
    db: sqlite3.Connection,
    recording: Recording,
    *,
    call_id: int,
    campaign_id: int,
    of_call: view_index.Memberships | None = None,
) -> None:
    """Insert or refresh a recording; its stem is given once, and is unique in its call's folder. `of_call` means that
    it was embedded in its call, which describes the attempt that it was made in, and spares a look at the call."""
    values = recording_values(recording, campaign_id)
    before = db.execute(_BEFORE, (recording.id,)).fetchone()
    if before is None:
        seq, attempt, name = next_recording_seq(db), attempt_of(recording), encode_basestring_ascii(recording.name)
        stem = recording_stem(recording.name, identity=recording.id, taken=_stems(db, call_id))
        db.execute(INSERT_RECORDING, (*values, recording.id, call_id, name, stem, seq, *attempt, None, None))
        view_index.place_recording(db, seq, of_call or view_index.memberships(db, call_id))
    else:
        seq, had_call, had_ms, *had_attempt = before
        attempt = attempt_of(recording) if of_call is not None else view_index.Attempt(*had_attempt)
        is_found = (
            bool(call_id) and not had_call
        )  # known by its id before its call was: it moves into that call's folder
        moves = is_found or had_ms != recording.created_ms or attempt != tuple(had_attempt)
        if moves:
            view_index.displace(db, seq)
        db.execute(_PUT_RECORDING, (*values, *attempt, recording.id))
        if is_found:
            stem = recording_stem(recording.name, identity=recording.id, taken=_stems(db, call_id))
            name = encode_basestring_ascii(recording.name)
            db.execute(
                "UPDATE recordings SET call_id = ?, stem = ?, name = ? WHERE id = ?",
                (call_id, stem, name, recording.id),
            )
        if moves:
            view_index.place_recording(db, seq, of_call or view_index.memberships(db, call_id or had_call))
    display_names.complete_recording(db, recording.id)


def undescribed_recording(recording_id: int) -> Recording:
    """A recording of which only the id is known."""
    return Recording(
        id=recording_id,
        call_id=None,
        campaign_id=None,
        name="",
        created_ms=None,
        hint_nbytes=None,
        seconds=None,
        state=RecordingState.UNKNOWN,
        document={"id": recording_id},
    )


def _stems(db: sqlite3.Connection, call_id: int) -> list[str]:
    return [stem for (stem,) in db.execute("SELECT stem FROM recordings WHERE call_id = ?", (call_id,))]


def put_recordings_of_call(db: sqlite3.Connection, call_id: int, recordings: Iterable[Recording]) -> None:
    """Put v2's whole list of a call's recordings into rows."""
    campaign_id = 0
    for recording in recordings:
        campaign_id = recording.campaign_id or campaign_id
    note_call(db, call_id=call_id, campaign_id=campaign_id)
    for recording in recordings:
        put_recording(db, recording, call_id=call_id, campaign_id=recording.campaign_id or campaign_id)
    db.execute("UPDATE calls SET recordings_known = 1 WHERE id = ?", (call_id,))


def put_files(db: sqlite3.Connection, listing: RecordingList, *, campaign_id: int, call_id: int) -> None:
    """Put v1's whole list of a call's files into rows."""
    note_call(db, call_id=call_id, campaign_id=campaign_id)
    db.executemany(
        # an imported file had no call so far
        "INSERT INTO files (id, call_id, campaign_id, seen_ms) VALUES (?, ?, ?, unixepoch() * 1000)"
        " ON CONFLICT (id) DO UPDATE SET"
        " call_id = excluded.call_id, campaign_id = excluded.campaign_id WHERE call_id = 0",
        [(file_id, call_id, campaign_id) for file_id in listing.file_ids],
    )
    db.execute("UPDATE calls SET files_known = 1 WHERE id = ?", (call_id,))


def put_media(db: sqlite3.Connection, media: Media) -> None:
    """Insert or refresh a media file. Its by-name stem is given once, and is unique beside its extension; a file whose
    type was not known gets another stem with its extension."""
    values = (
        media.created_ms,
        media.hint_nbytes,
        media.public_key,
        media.public_extension,
        encode_decoded(media.document),
    )
    known = db.execute("SELECT extension FROM media WHERE id = ?", (media.id,)).fetchone()
    if known is None:
        db.execute(
            "INSERT INTO media (created_ms, hint_nbytes, public_key, public_extension, document, id, name, stem,"
            " extension, seen_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, unixepoch() * 1000)",
            (*values, media.id, json.dumps(media.name), _media_stem(db, media), media.extension),
        )
        return
    db.execute(
        "UPDATE media SET created_ms = ?, hint_nbytes = ?, public_key = ?, public_extension = ?, document = ?"
        " WHERE id = ?",
        (*values, media.id),
    )
    if known == ("",) and media.extension:
        db.execute(
            "UPDATE media SET stem = ?, extension = ? WHERE id = ?",
            (_media_stem(db, media), media.extension, media.id),
        )


def _media_stem(db: sqlite3.Connection, media: Media) -> str:
    extension = f".{media.extension}" if media.extension else ""
    name, taken = stem_of(media.name, media.extension), _MediaStems(db, media)
    return _stem(name, identity=media.id, extensions=(extension,), taken=taken)


class _MediaStems(Container[str]):
    """The stems given to other media beside one extension, asked of the table one at a time: an account may have 10^5
    media.

    A name without an extension may look like one with it (`a.b`): neither is given where the other is.
    """

    def __init__(self, db: sqlite3.Connection, media: Media) -> None:
        self._db = db
        self._id = media.id
        self._extension = media.extension

    def __contains__(self, stem: object) -> bool:
        if self._extension:
            other = (f"{stem}.{self._extension}", "")
        else:
            before, _dot, suffix = str(stem).rpartition(".")
            other = (before, suffix)
        found = self._db.execute(
            "SELECT 1 FROM media WHERE ((stem = ? AND extension = ?) OR (stem = ? AND extension = ?)) AND id <> ?",
            (stem, self._extension, *other, self._id),
        )
        return found.fetchone() is not None


def put_dynamic(db: sqlite3.Connection, row: DynamicRow) -> None:
    """Remember a dynamic recording that answered; its `seq` is given here."""
    db.execute(
        "INSERT OR IGNORE INTO dynamic_files (hash, year, month, campaign, filename, seen_ms)"
        " VALUES (?, ?, ?, ?, ?, unixepoch() * 1000)",
        (row.hash, row.year, row.month, row.campaign, row.filename),
    )


def put_facts(db: sqlite3.Connection, facts: Iterable[Fact]) -> None:
    """Take learned facts as they are; the newest wins."""
    db.executemany(
        "INSERT INTO facts (object_key, source, nbytes, validator, modified_ns, version, seen_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (object_key) DO UPDATE SET source = excluded.source,"
        " nbytes = excluded.nbytes, validator = excluded.validator, modified_ns = excluded.modified_ns,"
        " version = excluded.version, seen_ms = excluded.seen_ms",
        [(f.object_key, f.source, f.nbytes, f.validator, f.modified_ns, f.version, f.seen_ms) for f in facts],
    )


def put_document(db: sqlite3.Connection, *, key: str, body: bytes, now_ms: int) -> None:
    """Keep a rendered answer under `key`; the newest wins. Its content is as old as the first answer that said so."""
    db.execute(
        "INSERT INTO documents (key, refreshed_ms, body, seen_ms) VALUES (?1, ?2, ?3, ?2) ON CONFLICT (key) DO UPDATE"
        " SET seen_ms = iif(body = excluded.body, seen_ms, excluded.seen_ms), refreshed_ms = excluded.refreshed_ms,"
        " body = excluded.body",
        (key, now_ms, body),
    )


def mark_listed(db: sqlite3.Connection, name: str, *, now_ms: int) -> None:
    """Note that the listing `name` was taken whole just now."""
    db.execute("INSERT OR REPLACE INTO listings (name, refreshed_ms) VALUES (?, ?)", (name, now_ms))
