"""Calls, campaigns and recordings: generated rows, and changes over them.

It owns the order of calls, the rows as the API sends them, and the sizes and bytes of recordings. Every public method
may be called from any thread, under one lock. It must not know HTTP.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from cffs.core.units import NS_PER_MS
from cffs.standin.call_filter import CallFilter, generated_indexes
from cffs.standin.generated_rows import CALL_STEP_MS, Row, Shape, is_mulaw, recording_nbytes
from cffs.standin.objects import StandinObject, Versions
from cffs.standin.overrides import NO_ID, Overrides, number_of

ADDED_STEP: Final = 1000
ADDED_RECORDING_BASE: Final = 990_000_000_003
"""Above every generated recording id, so that added recordings are the newest by id too."""

KEPT_ORDERS: Final = 32
"""Filtered orders kept until the next change, so that paging through one filter scans the calls once."""


_ATTEMPT: Final = "_attempt"
"""The key, never sent, for the position of the call's record that a recording belongs to."""


class CallStore:
    """The calls of an account. Building it costs as much for 10 calls as for 1,000,000."""

    def __init__(self, shape: Shape, *, length_measures: str | None) -> None:
        self.shape = shape
        self.lock = threading.RLock()
        self.root_url = "http://127.0.0.1"
        """The root of URLs inside answers; the server sets it."""
        self.length_measures = length_measures
        """The form that `lengthInBytes` measures, `mp3` or `wav`; None leaves the key out."""
        self.versions = Versions(seed=shape.seed)
        self._added_calls: list[Row] = []
        self._added_broadcasts: list[Row] = []
        self._added_recordings: dict[int, list[Row]] = {}
        self._recording_homes: dict[int, int] = {}
        self._next_recording_id = ADDED_RECORDING_BASE
        self._touched_ms: dict[int, int] = {}
        self._overrides = Overrides()
        self._orders: dict[CallFilter, tuple[list[Row], Sequence[int]]] = {}

    def call_page(self, wanted: CallFilter, *, offset: int, limit: int, embed: bool = True) -> tuple[list[Row], int]:
        """The rows of one page of the calls that meet the filter, newest first, and the number of all of them."""
        with self.lock:
            if wanted.ids is not None:
                rows = [row for row in (self.call_row(call_id, embed=embed) for call_id in wanted.ids) if row]
                return rows[offset : offset + limit], len(rows)
            added, indexes = self._order(wanted)
            rows = [self._completed(row, embed=embed) for row in added[offset : offset + limit]]
            first = max(0, offset - len(added))
            rows += [
                self._completed(self.shape.call_row(index), embed=embed)
                for index in indexes[first : first + limit - len(rows)]
            ]
            return rows, len(added) + len(indexes)

    def call_ids(self, wanted: CallFilter | None = None) -> list[Any]:
        """The ids of all calls that meet the filter, newest first."""
        with self.lock:
            added, indexes = self._order(wanted or CallFilter())
            return [row.get("id") for row in added] + [self.shape.call_id(index) for index in indexes]

    def call_row(self, call_id: int, *, embed: bool = True) -> Row | None:
        """The call as the API sends it, with its recordings in `records[].recordings` where `embed` is true."""
        with self.lock:
            if self._overrides.is_deleted_id("call", call_id):
                return None
            index = self.shape.call_index(call_id)
            if index is not None:
                return self._completed(self.shape.call_row(index), embed=embed)
            found = next((row for row in self._added_calls if row.get("id") == call_id), None)
            return None if found is None else self._completed(found, embed=embed)

    def add_call(
        self, *, recordings: int = 1, seconds: float = 10, created_ms: int | None = None, **fields: Any
    ) -> int:
        """Add the newest call, with that many recordings; `fields` set further keys of its row. Returns its id."""
        with self.lock:
            number = len(self._added_calls) + 1
            call_id = self.shape.call_id(0) + number * ADDED_STEP
            created = self.shape.newest_ms + number * CALL_STEP_MS if created_ms is None else created_ms
            record = {"id": call_id + 1_000_000_000, "result": "LA", "duration": int(seconds), "recordings": []}
            row: Row = {**self.shape.call_row(0), "id": call_id, "created": created, "modified": created}
            self.add_raw_call({**row, "records": [record], **fields})
            for _ in range(recordings):
                self.add_recording(call_id, seconds=seconds)
            return call_id

    def add_raw_call(self, row: Row) -> None:
        """Add a row, listed as given before all others; recordings added to it are embedded beside its own."""
        with self.lock:
            self._added_calls.insert(0, dict(row))
            self._orders.clear()

    def set_call(self, call_id: int, **fields: Any) -> None:
        """Set fields of a call; `...` removes one."""
        self._change("call", call_id, fields)

    def delete_call(self, call_id: int) -> None:
        """Delete a call with its recordings: 404, and in no list."""
        with self.lock:
            self._overrides.delete("call", call_id)
            self._orders.clear()

    def broadcast_rows(self) -> list[Row]:
        """All campaigns, added ones first."""
        with self.lock:
            generated = (self.shape.campaign_row(campaign_id) for campaign_id in self.shape.campaign_ids())
            rows = (self._overrides.applied("broadcast", row) for row in (*self._added_broadcasts, *generated))
            return [row for row in rows if not self._overrides.is_deleted("broadcast", row)]

    def broadcast_row(self, campaign_id: int) -> Row | None:
        """One campaign."""
        return next((row for row in self.broadcast_rows() if row.get("id") == campaign_id), None)

    def add_raw_broadcast(self, row: Row) -> None:
        """Add a campaign, listed as given before all others."""
        with self.lock:
            self._added_broadcasts.insert(0, dict(row))

    def set_broadcast(self, campaign_id: int, **fields: Any) -> None:
        """Set fields of a campaign; `...` removes one."""
        self._change("broadcast", campaign_id, fields)

    def delete_broadcast(self, campaign_id: int) -> None:
        """Delete a campaign: 404, and in no list. Its calls stay."""
        with self.lock:
            self._overrides.delete("broadcast", campaign_id)

    def recording_rows(self, call_id: int) -> list[Row] | None:
        """The recordings of a call as the API sends them; None for an unknown call."""
        with self.lock:
            return [self._as_sent(row) for row in self._recordings_of(call_id)] if self._knows(call_id) else None

    def recording_row(self, recording_id: int) -> Row | None:
        """One recording by id."""
        with self.lock:
            row = self._recording(recording_id)
            return None if row is None else self._as_sent(row)

    def recording_ids(self, call_id: int) -> list[int]:
        """The ids of a call's recordings, in order."""
        return [row["id"] for row in self.recording_rows(call_id) or () if number_of(row) != NO_ID]

    def recording_object(self, recording_id: int, *, form: str) -> StandinObject | None:
        """The bytes of one form (`mp3` or `wav`) of a recording; None for an unknown one."""
        with self.lock:
            row = self._recording(recording_id)
            if row is None:
                return None
            created = self._touched_ms.get(recording_id, row.get("created"))
            return self.versions.audio(
                f"recording/{recording_id}",
                form=form,
                total_nbytes=self._nbytes(row, form),
                content_type="audio/x-wav" if form == "wav" else "audio/mpeg",
                modified_ms=created if isinstance(created, int) else self.shape.newest_ms,
                mulaw=is_mulaw(recording_id),
            )

    def touch_recording(self, recording_id: int) -> None:
        """Set its time of modification to now."""
        with self.lock:
            self._touched_ms[recording_id] = time.time_ns() // NS_PER_MS

    def named_recording(self, call_id: int, name: str) -> StandinObject | None:
        """The MP3 of the first recording of that name in a call."""
        with self.lock:
            rows = self.recording_rows(call_id) or ()
            found = next((row.get("id") for row in rows if row.get("name") == name), None)
            return self.recording_object(found, form="mp3") if isinstance(found, int) else None

    def add_recording(
        self,
        call_id: int,
        *,
        seconds: float = 10,
        mp3_nbytes: int | None = None,
        wav_nbytes: int | None = None,
        attempt: int = -1,
        **fields: Any,
    ) -> int:
        """Add a recording to a call, of exact sizes where given; `fields` set further keys. Returns its id.

        `attempt` is the position in `records` of the attempt in which it was made, as an index of Python.
        """
        with self.lock:
            call = self.call_row(call_id, embed=False) or {}
            recording_id = self._next_recording_id
            self._next_recording_id += ADDED_STEP
            row: Row = {
                "id": recording_id,
                "callId": call_id,
                "campaignId": call.get("campaignId", 0),
                "name": f"added {recording_id}" if self._recordings_of(call_id) else "call_recording",
                "created": call.get("created", self.shape.newest_ms),
                "lengthInSeconds": round(seconds),
                "hash": "",
                "state": "READY",
                _ATTEMPT: attempt,
                **fields,
            }
            for form, nbytes in (("mp3", mp3_nbytes), ("wav", wav_nbytes)):
                if nbytes is not None:
                    self.versions.resize(f"recording/{recording_id}", form, nbytes)
            self.add_raw_recording(call_id, row)
            return recording_id

    def add_raw_recording(self, call_id: int, row: Row) -> None:
        """Add a recording, listed as given (with hint and URL where it has none), last of its call."""
        with self.lock:
            self._added_recordings.setdefault(call_id, []).append(dict(row))
            if isinstance(row.get("id"), int):
                self._recording_homes[row["id"]] = call_id

    def set_recording(self, recording_id: int, **fields: Any) -> None:
        """Set fields of a recording (`state`, a wrong `lengthInBytes`), but not its bytes; `...` removes one."""
        self._change("recording", recording_id, fields)

    def resize_recording(self, recording_id: int, *, form: str, total_nbytes: int) -> None:
        """Set the size of one form, with another validator, as of a recording that grows."""
        with self.lock:
            self.versions.resize(f"recording/{recording_id}", form, total_nbytes)

    def delete_recording(self, recording_id: int) -> None:
        """Delete a recording: 404, and in no list."""
        with self.lock:
            self._overrides.delete("recording", recording_id)

    # The methods below are called under the lock.

    def _order(self, wanted: CallFilter) -> tuple[list[Row], Sequence[int]]:
        """The added rows and the generated indexes that meet a filter, in order."""
        kept = self._orders.get(wanted)
        if kept is None:
            indexes = generated_indexes(self.shape, wanted)
            places = map(self.shape.call_index, self._overrides.touched_ids("call"))
            touched = {index for index in places if index is not None}
            if touched:
                meeting = {index for index in touched if self._meets(wanted, self.shape.call_row(index))}
                indexes = sorted((set(indexes) - touched) | meeting)
            kept = [row for row in self._added_calls if self._meets(wanted, row)], indexes
            if len(self._orders) >= KEPT_ORDERS:
                self._orders.clear()
            self._orders[wanted] = kept
        return kept

    def _meets(self, wanted: CallFilter, row: Row) -> bool:
        return not self._overrides.is_deleted("call", row) and wanted.accepts(self._overrides.applied("call", row))

    def _completed(self, row: Row, *, embed: bool) -> Row:
        """A copy of the row with its changes, and with its recordings where they are embedded."""
        row = self._overrides.applied("call", row)
        records = row.get("records")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            return row
        recordings = self._recordings_of(row["id"]) if embed and number_of(row) != NO_ID else []
        dressed = []
        for position, record in enumerate(records):
            bare = {name: value for name, value in record.items() if name != "recordings"}
            own = record.get("recordings")
            if embed:
                found = [self._as_sent(one) for one in recordings if _attempt_of(one, len(records)) == position]
                bare["recordings"] = [*own, *found] if isinstance(own, list) else own
            dressed.append(bare)
        return {**row, "records": dressed}

    def _knows(self, call_id: int) -> bool:
        if self._overrides.is_deleted_id("call", call_id):
            return False
        return self.shape.call_index(call_id) is not None or any(row.get("id") == call_id for row in self._added_calls)

    def _recordings_of(self, call_id: int) -> list[Row]:
        """The recordings of a call as they were made, without deleted ones."""
        index = self.shape.call_index(call_id)
        rows = [] if index is None else self.shape.recording_rows(index)
        rows += self._added_recordings.get(call_id, ())
        return [row for row in rows if not self._overrides.is_deleted("recording", row)]

    def _recording(self, recording_id: int) -> Row | None:
        home = self._recording_homes.get(recording_id)
        if home is None:
            place = self.shape.recording_place(recording_id)
            home = None if place is None else self.shape.call_id(place[0])
        if home is None or self._overrides.is_deleted_id("call", home):
            return None
        return next((row for row in self._recordings_of(home) if row.get("id") == recording_id), None)

    def _as_sent(self, row: Row) -> Row:
        """The recording as the API sends it: with hint and URL unless it has its own, then with its changes."""
        row = {name: value for name, value in row.items() if name != _ATTEMPT}
        if self.length_measures and isinstance(row.get("id"), int) and "lengthInBytes" not in row:
            row["lengthInBytes"] = self._nbytes(row, self.length_measures)
        # Without /v2 and .mp3, as in CallFire's own samples.
        row.setdefault("mp3Url", f"{self.root_url}/calls/recordings/{row.get('id')}")
        return self._overrides.applied("recording", row)

    def _nbytes(self, row: Row, form: str) -> int:
        key, seconds = f"recording/{row['id']}", row.get("lengthInSeconds")
        given = self.versions.given_content(key, form)
        if given is not None:
            return given.total_nbytes
        seconds = seconds if isinstance(seconds, int) and 0 < seconds < CALL_STEP_MS else 1
        return self.versions.size(key, form, recording_nbytes(row["id"], seconds, form=form))

    def _change(self, kind: str, object_id: int, fields: dict[str, Any]) -> None:
        with self.lock:
            self._overrides.set_fields(kind, object_id, fields)
            self._orders.clear()


def _attempt_of(recording: Row, records: int) -> int:
    """The position of the record in which a recording is embedded: the last one unless another was given."""
    attempt = recording.get(_ATTEMPT, -1)
    return int(attempt) % records
