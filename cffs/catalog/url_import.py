"""Import of found recordings into a catalogue, beside a mount or without one.

It owns the batches of an import, and its tally. It must not know the command line, nor trio: it is SQLite alone, and a
mount sees each batch at its next read.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from cffs.catalog import display_names, rows, schema, upserts
from cffs.catalog.rows import DynamicRow
from cffs.catalog.url_finder import Finding, FoundCall, FoundFile, FoundRecording, Refused
from cffs.catalog.views import Views

#: Rows in a transaction: the mount's own writer waits for one for some milliseconds at most.
_BATCH_ROWS = 2000
_DYNAMIC = (
    "INSERT OR IGNORE INTO dynamic_files (hash, year, month, campaign, filename, seen_ms)"
    " VALUES (?, ?, ?, ?, ?, unixepoch() * 1000)"
)
_FILE = "INSERT OR IGNORE INTO files (id, call_id, campaign_id, seen_ms) VALUES (?, 0, 0, unixepoch() * 1000)"
_NO_LIMIT = -1
_ALL_DYNAMIC = "SELECT seq, hash, year, month, campaign, filename FROM dynamic_files ORDER BY seq"
_ALL_FILES = "SELECT id FROM files WHERE call_id = 0 ORDER BY seq"


@dataclass(slots=True)
class Tally:
    """How far an import has come."""

    found: int = 0
    new: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """`found 12, new 3, refused 2 (1 another host, 1 malformed)`."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.refused.most_common())
        told = f"found {self.found}, new {self.new}, refused {self.refused.total()}"
        return f"{told} ({reasons})" if reasons else told


class CatalogFile:
    """A connection to a catalogue that exists. Raises sqlite3.Error; sqlite3.OperationalError where another process
    holds the file for longer than a few seconds."""

    def __init__(self, path: Path) -> None:
        self._connection = schema.connect(path)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def is_current(self) -> bool:
        """True where the schema is the one that this version writes."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return bool(version == len(schema.MIGRATIONS))

    def take(self, findings: Iterable[Finding], tally: Tally) -> Iterator[Tally]:
        """Put every finding into rows; yields the tally after each batch, which is then committed."""
        findings = iter(findings)
        while batch := list(islice(findings, _BATCH_ROWS)):
            tally.refused.update(finding.reason for finding in batch if isinstance(finding, Refused))
            taken = [finding for finding in batch if not isinstance(finding, Refused)]
            tally.found += len(taken)
            tally.new += self._put(taken)
            yield tally

    def _put(self, findings: list[DynamicRow | FoundFile | FoundRecording | FoundCall]) -> int:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            new = sum(self._is_new(found) for found in findings)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return new

    def _is_new(self, found: DynamicRow | FoundFile | FoundRecording | FoundCall) -> bool:
        """Put one finding into its row; True where it was not known."""
        if isinstance(found, DynamicRow):
            parts = (found.hash, found.year, found.month, found.campaign, found.filename)
            return self._connection.execute(_DYNAMIC, parts).rowcount > 0
        if isinstance(found, FoundFile):
            return self._connection.execute(_FILE, (found.id,)).rowcount > 0
        table = "recordings" if isinstance(found, FoundRecording) else "calls"
        known = self._connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (found.id,)).fetchone()  # nosec B608  # noqa: S608 - a name of ours
        if known is None and isinstance(found, FoundRecording):
            upserts.put_recording(self._connection, upserts.undescribed_recording(found.id), call_id=0, campaign_id=0)
        elif known is None:
            upserts.note_call(self._connection, call_id=found.id, campaign_id=0)
        return known is None

    @property
    def views(self) -> Views:
        """The recordings of the catalogue."""
        return Views(self._connection)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the times in names, and of the beginnings of days."""
        return display_names.zone_of(self._connection)

    def campaign_folder(self, campaign_id: int) -> str | None:
        """The name under which a campaign is listed; None where only its id is known."""
        found = self._connection.execute("SELECT stem FROM campaigns WHERE id = ?", (campaign_id,)).fetchone()
        return None if found is None else found[0]

    def newest_seq(self) -> int:
        """The sequence number of the recording that became known last; 0 where there is none."""
        (found,) = self._connection.execute("SELECT max(seq) FROM recordings").fetchone()
        return int(found or 0)

    def is_listed(self) -> bool:
        """True where the calls were listed whole at least once."""
        return self._connection.execute("SELECT 1 FROM listings WHERE name = 'calls'").fetchone() is not None

    def dynamic_files(self) -> Iterator[DynamicRow]:
        """Every dynamic recording that is known."""
        for row in self._connection.execute(_ALL_DYNAMIC):
            yield DynamicRow(*row)

    def imported_files(self) -> Iterator[int]:
        """Every recording of which only the file id is known."""
        for (file_id,) in self._connection.execute(_ALL_FILES):
            yield int(file_id)

    def undescribed_recordings(self) -> Iterator[int]:
        """Every recording of v2 of which only the id is known."""
        for (recording_id,) in self._connection.execute(rows.UNDESCRIBED_RECORDINGS, (_NO_LIMIT,)):
            yield int(recording_id)

    def undescribed_calls(self) -> Iterator[int]:
        """Every call of which only the id is known."""
        for (call_id,) in self._connection.execute(rows.UNDESCRIBED_CALLS, (_NO_LIMIT,)):
            yield int(call_id)


def is_busy(problem: sqlite3.Error) -> bool:
    """True where another process held the catalogue for too long."""
    return getattr(problem, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
