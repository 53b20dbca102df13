"""Recordings by date, number, label and campaign, and by what a search asks for.

It owns the statements of the views. It must not know paths, time zones or file names: it is asked for intervals and
folders. A read returns at most `PAGE_ROWS` rows, from an index, never by OFFSET.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cffs.catalog.integrity import UNREADABLE, damaged, is_damage
from cffs.catalog.rows import RECORDING_COLUMNS, ListedRecording, RecordingRow, recording_row
from cffs.core.listed_names import LAST_DATED_MS

Row = TypeVar("Row")

#: Rows that one read may return: a READDIR of the kernel takes about 150 entries and throws the rest away.
PAGE_ROWS = 200


class ViewRow(NamedTuple):
    """A recording with what the views show of its call; `file_seq` is the row of v1's file of the same id, if any."""

    recording: RecordingRow
    from_number: str
    to_number: str
    inbound: bool
    file_seq: int | None


class IndexRow(NamedTuple):
    """A recording for an index: `labels` are its own and its call's, `result` is how the call ended, if that is
    known; `inbound` is None where no call is."""

    call_id: int
    campaign_id: int
    created_ms: int | None
    seconds: int | None
    state: str
    from_number: str
    to_number: str
    inbound: bool | None
    labels: tuple[str, ...]
    result: str | None


@dataclass(frozen=True, slots=True)
class ViewFolder:
    """A folder of by-number or by-label; `newest_ms` is when the newest recording in it was made."""

    seq: int
    text: str
    name: str
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a WHERE clause over `r` (recordings) and `c` (their calls), with its values."""

    clause: str
    values: tuple[object, ...]


_COLUMNS = (
    f"SELECT coalesce(c.from_number, ''), coalesce(c.to_number, ''), coalesce(c.inbound, 0), f.seq, {RECORDING_COLUMNS}"
)
_JOINS = " LEFT JOIN calls c ON c.id = r.call_id LEFT JOIN files f ON f.id = r.id"
_BY_ID = f"{_COLUMNS} FROM recordings r {_JOINS} WHERE r.id = ?"
#: What a listing reads: no document and no call, and v1's file only where one may be listed.
_LISTED = "SELECT r.seq, r.id, r.listed, r.created_ms, r.hint_nbytes, r.seconds, r.state, r.seen_ms, "
_FILE_OF = "(SELECT f.seq FROM files f WHERE f.id = r.id)"
_BETWEEN = (
    " FROM recordings r WHERE r.created_ms >= ?2 AND r.created_ms < ?1 AND (r.created_ms, r.seq) > (?2, ?3)"
    " ORDER BY r.created_ms, r.seq LIMIT ?4"
)
_ALL = " FROM recordings r WHERE r.seq > ? ORDER BY r.seq LIMIT ?"
_IN_CAMPAIGN = " FROM recordings r WHERE r.campaign_id = ? AND r.seq > ? ORDER BY r.seq LIMIT ?"
_LISTED_IN_FOLDER = (
    " FROM view_rows v CROSS JOIN recordings r ON r.seq = v.recording WHERE v.folder = ? AND v.recording > ?"
    " ORDER BY v.recording LIMIT ?"
)
_INDEXED = (
    "SELECT r.id, r.call_id, r.campaign_id, r.created_ms, r.seconds, r.state, coalesce(c.from_number, ''),"
    " coalesce(c.to_number, ''), c.inbound, coalesce(c.labels, '[]'), r.labels,"
    " json_extract(CAST(c.document AS TEXT), '$.finalCallResult')"
    " FROM recordings r LEFT JOIN calls c ON c.id = r.call_id WHERE r.id IN (SELECT value FROM json_each(?))"
)
_OF_SEQS = " FROM recordings r WHERE r.seq IN (SELECT value FROM json_each(?))"
_OF_FOLDER = (
    f"{_COLUMNS} FROM view_rows v CROSS JOIN recordings r ON r.seq = v.recording {_JOINS}"
    " WHERE v.folder = ? AND v.recording > ? ORDER BY v.recording LIMIT ?"
)
#: What a row without a time is ordered by, spelt as in the index (`catalog/schema`).
UNDATED_MS = -(2**63)
_TIME = "coalesce(r.created_ms, -9223372036854775808)"
_OF_CAMPAIGN = (
    f"{_COLUMNS} FROM recordings r {_JOINS} WHERE r.campaign_id = ?1 AND {_TIME} >= ?2"
    f" AND ({_TIME}, r.seq) > (?2, ?3) ORDER BY {_TIME}, r.seq LIMIT ?4"
)
_FOLDERS = (
    "SELECT seq, text, name, newest_ms FROM view_folders WHERE view = ? AND seq > ?"
    " AND EXISTS (SELECT 1 FROM view_rows WHERE folder = seq) ORDER BY seq LIMIT ?"
)
_FOLDER_BY_NAME = "SELECT seq, text, name, newest_ms FROM view_folders WHERE view = ? AND name = ?"
_FOLDER_BY_TEXT = "SELECT seq, text, name, newest_ms FROM view_folders WHERE view = ? AND text = ?"
_IN_FOLDER = "SELECT 1 FROM view_rows WHERE folder = ? AND recording = ?"
_NEXT_CREATED = "SELECT min(created_ms) FROM recordings WHERE created_ms >= ?"
_NEWEST = "SELECT max(created_ms) FROM recordings WHERE created_ms >= ? AND created_ms < ?"
_NEWEST_OF_CAMPAIGN = (
    "SELECT max(coalesce(r.created_ms, -9223372036854775808)) FROM recordings r"
    " WHERE r.campaign_id = ? AND coalesce(r.created_ms, -9223372036854775808) < ?"
)
_NEWEST_OF_FOLDER = "SELECT newest_ms FROM view_folders WHERE seq = ?"


#: What a search can be ordered by. What has no time is the oldest, what has no length comes last.
ORDERS = {
    "": "r.seq",
    "newest": f"{_TIME} DESC, r.seq DESC",
    "oldest": f"{_TIME}, r.seq",
    "longest": "coalesce(r.seconds, -1) DESC, r.seq",
    "shortest": "coalesce(r.seconds, 1 << 62), r.seq",
}


class Views:
    """Reads one catalogue's views. No read is a checkpoint."""

    def __init__(
        self,
        reading: sqlite3.Connection,
        *,
        page_rows: int = PAGE_ROWS,
        is_lean: bool = False,
        path: Path | None = None,
    ) -> None:
        """With `is_lean` the documents of recordings are left out, which saves half of the reading. Where `path` names
        the file, damage that is met in it raises CatalogueDamaged."""
        self._path = path
        self._reading = reading
        self._page_rows = page_rows
        self._is_lean = is_lean

    def recording(self, recording_id: int) -> ViewRow | None:
        """The recording of that id."""
        found = self._rows(_BY_ID, recording_id)
        return found[0] if found else None

    def index_rows(self, recording_ids: Iterable[int]) -> dict[int, IndexRow]:
        """These recordings, by their ids, as far as they are known."""
        return dict(self._all(_index_row, _INDEXED, json.dumps(list(recording_ids))))

    def labels_of_call(self, call_id: int) -> list[str]:
        """The labels of a call as the service spells them; [] where it is not known."""
        return self._labels("SELECT labels FROM calls WHERE id = ?", call_id)

    def labels(self, recording_id: int) -> list[str]:
        """The labels of a recording: those of its call, and those of the attempt that it was made in."""
        own = self._labels("SELECT labels FROM recordings WHERE id = ?", recording_id)
        found = self._labels(
            "SELECT c.labels FROM calls c JOIN recordings r ON r.call_id = c.id WHERE r.id = ?", recording_id
        )
        return list(dict.fromkeys(found + own))

    def _labels(self, statement: str, ident: int) -> list[str]:
        try:
            found = self._reading.execute(statement, (ident,)).fetchone()
            return [] if found is None else [str(label) for label in json.loads(found[0])]
        except UNREADABLE as problem:
            if self._path is None or not is_damage(problem):
                raise
            raise damaged(self._path, problem) from problem

    def next_created_ms(self, from_ms: int) -> int | None:
        """The first time at or past `from_ms` at which a recording was made."""
        found = self._reading.execute(_NEXT_CREATED, (from_ms,)).fetchone()
        return None if found[0] is None else int(found[0])

    def between(self, start_ms: int, stop_ms: int, *, after_seq: int = 0, with_files: bool) -> list[ListedRecording]:
        """The next recordings of [start_ms, stop_ms), by time; those of `start_ms` itself only past `after_seq`."""
        return self._listed(_BETWEEN, stop_ms, start_ms, after_seq, with_files=with_files)

    def of_campaign(self, campaign_id: int, *, from_ms: int = UNDATED_MS, after_seq: int = 0) -> list[ViewRow]:
        """The next recordings of a campaign, oldest first; those of `from_ms` itself only past `after_seq`."""
        return self._rows(_OF_CAMPAIGN, campaign_id, from_ms, after_seq, self._page_rows)

    def recordings(self, *, after_seq: int) -> list[ListedRecording]:
        """The next recordings of all, in the order in which they became known."""
        return self._listed(_ALL, after_seq, with_files=False)

    def in_campaign(self, campaign_id: int, *, after_seq: int, with_files: bool) -> list[ListedRecording]:
        """The next recordings of a campaign, in the order in which they became known."""
        return self._listed(_IN_CAMPAIGN, campaign_id, after_seq, with_files=with_files)

    def in_folder(self, folder: int, *, after_seq: int, with_files: bool) -> list[ListedRecording]:
        """The next recordings of a number's or a label's folder, in the order in which they became known."""
        return self._listed(_LISTED_IN_FOLDER, folder, after_seq, with_files=with_files)

    def _listed(self, source: str, *values: object, with_files: bool) -> list[ListedRecording]:
        statement = f"{_LISTED}{_FILE_OF if with_files else 'NULL'}{source}"
        return self._all(ListedRecording, statement, *values, self._page_rows)

    def folders(self, view: str, *, after_seq: int) -> list[ViewFolder]:
        """The next folders of a view that hold something, in the order in which they became known."""
        return self._folders(_FOLDERS, view, after_seq, PAGE_ROWS)

    def folder(self, view: str, name: str) -> ViewFolder | None:
        """The folder of that name."""
        found = self._folders(_FOLDER_BY_NAME, view, name)
        return found[0] if found else None

    def folder_of(self, view: str, text: str) -> ViewFolder | None:
        """The folder of that number or label as the service spells it."""
        found = self._folders(_FOLDER_BY_TEXT, view, json.dumps(text))
        return found[0] if found else None

    def of_folder(self, folder: int, *, after_seq: int) -> list[ViewRow]:
        """The next recordings of a folder."""
        return self._rows(_OF_FOLDER, folder, after_seq, self._page_rows)

    def is_in(self, folder: int, row: RecordingRow) -> bool:
        """True where the recording belongs to the folder."""
        return self._reading.execute(_IN_FOLDER, (folder, row.seq)).fetchone() is not None

    def newest_ms(self, start_ms: int, stop_ms: int) -> int | None:
        """The time of the last recording made in [start_ms, stop_ms)."""
        return self._newest(_NEWEST, start_ms, stop_ms)

    def newest_ms_of_campaign(self, campaign_id: int) -> int | None:
        """The time of the last recording of a campaign."""
        found = self._newest(_NEWEST_OF_CAMPAIGN, campaign_id, LAST_DATED_MS)
        return None if found == UNDATED_MS else found

    def newest_ms_of_folder(self, folder: int) -> int | None:
        """The time of the last recording in a number's or a label's folder."""
        return self._newest(_NEWEST_OF_FOLDER, folder)

    def _newest(self, statement: str, *values: object) -> int | None:
        found = self._all(_first, statement, *values)
        return None if not found or found[0] is None else int(found[0])

    def meets(self, recording_id: int, conditions: Sequence[Condition], *, folders: Sequence[int]) -> bool:
        """True where that recording meets every condition and is in every one of the view's `folders`."""
        clauses = ["r.id = ?", *(condition.clause for condition in conditions)]
        clauses += ["EXISTS (SELECT 1 FROM view_rows WHERE folder = ? AND recording = r.seq)"] * len(folders)
        values = [value for condition in conditions for value in condition.values]
        # every clause is one of ours; what was asked for is bound
        statement = f"SELECT 1 FROM recordings r {_JOINS} WHERE {' AND '.join(clauses)}"  # nosec B608  # noqa: S608
        return self._reading.execute(statement, (recording_id, *values, *folders)).fetchone() is not None

    def selected(
        self, conditions: Sequence[Condition], *, folders: Sequence[int], order: str, limit: int | None
    ) -> list[tuple[int, int]]:
        """The sequence number and the id of every recording that meets every condition, in one of the ORDERS."""
        source, clauses, values = _source(conditions, folders)
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        # every clause is one of ours; what was asked for is bound
        statement = f"SELECT r.seq, r.id FROM {source} {_JOINS}{where} ORDER BY {ORDERS[order]} LIMIT ?"  # nosec B608  # noqa: S608
        return self._all(_pair, statement, *values, -1 if limit is None else limit)

    def of_seqs(self, seqs: Sequence[int], *, with_files: bool) -> list[ListedRecording]:
        """These recordings, in this order; those that are gone are left out."""
        rows = self._all(
            ListedRecording, f"{_LISTED}{_FILE_OF if with_files else 'NULL'}{_OF_SEQS}", json.dumps(list(seqs))
        )
        by_seq = {row.seq: row for row in rows}
        return [by_seq[seq] for seq in seqs if seq in by_seq]

    def matching(self, conditions: Sequence[Condition], *, folders: Sequence[int], after_seq: int) -> list[ViewRow]:
        """The next recordings that meet every condition and are in every one of the view's `folders`."""
        source, clauses, values = _source(conditions, folders)
        clauses.append("v.recording > ?" if folders else "r.seq > ?")
        order = "v.recording" if folders else "r.seq"
        # every clause is one of ours; what was asked for is bound
        statement = f"{_COLUMNS} FROM {source} {_JOINS} WHERE {' AND '.join(clauses)} ORDER BY {order} LIMIT ?"
        return self._rows(statement, *values, after_seq, self._page_rows)

    def _rows(self, statement: str, *values: object) -> list[ViewRow]:
        if self._is_lean:
            statement = statement.replace("r.document", "x''")
        return self._all(_view_row, statement, *values)

    def _folders(self, statement: str, *values: object) -> list[ViewFolder]:
        return self._all(_view_folder, statement, *values)

    def _all(self, make: Callable[..., Row], statement: str, *values: object) -> list[Row]:
        try:
            return [make(*found) for found in self._reading.execute(statement, values)]
        except UNREADABLE as problem:
            if self._path is None or not is_damage(problem):
                raise
            raise damaged(self._path, problem) from problem


def _source(conditions: Sequence[Condition], folders: Sequence[int]) -> tuple[str, list[str], list[object]]:
    """Where rows come from, and the clauses that they meet, with their values."""
    clauses = [condition.clause for condition in conditions]
    values = [value for condition in conditions for value in condition.values]
    if not folders:
        return "recordings r", clauses, values
    # the first one drives: its rows come in order from its own index
    others = ["EXISTS (SELECT 1 FROM view_rows WHERE folder = ? AND recording = r.seq)"] * (len(folders) - 1)
    source = "view_rows v CROSS JOIN recordings r ON r.seq = v.recording"
    return source, [*clauses, "v.folder = ?", *others], [*values, *folders]


def _index_row(recording_id: int, *values: Any) -> tuple[int, IndexRow]:
    *plain, inbound, call_labels, own_labels, result = values
    inbound = None if inbound is None else bool(inbound)
    labels = _labels_in(call_labels, own_labels)
    return recording_id, IndexRow._make((*plain, inbound, labels, None if result is None else str(result)))


@lru_cache(4096)
def _labels_in(*columns: Any) -> tuple[str, ...]:
    """Each label of some columns once. Cached, because most rows have the labels of others."""
    return tuple(dict.fromkeys(str(label) for text in columns for label in json.loads(text)))


def _pair(seq: int, recording_id: int) -> tuple[int, int]:
    return seq, recording_id


def _first(value: Any) -> Any:
    return value


def _view_folder(seq: int, text: str, name: str, newest_ms: int | None) -> ViewFolder:
    return ViewFolder(seq, json.loads(text), name, newest_ms)


def _view_row(
    from_number: str,
    to_number: str,
    inbound: int,
    file_seq: int | None,
    *recording: Any,
) -> ViewRow:
    found = recording_row(*recording)
    return ViewRow(found, from_number, to_number, bool(inbound), file_seq)
