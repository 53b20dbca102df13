"""The SQLite file of one account: its schema, its migrations, and its damage.

It owns the tables and their versions, and when a file is set aside. It must not know what the rows mean to the tree.
"""

import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path

from cffs.catalog import display_names, name_migration
from cffs.catalog.integrity import is_damage, is_large, is_sound, mark_of

log = logging.getLogger(__name__)

#: "cffs" in ASCII, kept in the file's header: the database of another program is not ours to migrate.
APPLICATION_ID = 0x63666673

#: One entry per version of the schema, applied in order; a published entry never changes.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE campaigns (
        seq INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '""',
        modified_ms INTEGER, document BLOB);
    CREATE TABLE calls (
        seq INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, campaign_id INTEGER NOT NULL DEFAULT 0,
        created_ms INTEGER, from_number TEXT NOT NULL DEFAULT '', to_number TEXT NOT NULL DEFAULT '',
        inbound INTEGER, labels TEXT NOT NULL DEFAULT '[]', document BLOB,
        recordings_known INTEGER NOT NULL DEFAULT 0, files_known INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX calls_by_campaign ON calls (campaign_id, seq);
    CREATE TABLE recordings (
        seq INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, call_id INTEGER NOT NULL DEFAULT 0,
        campaign_id INTEGER NOT NULL DEFAULT 0, name TEXT NOT NULL, stem TEXT NOT NULL, created_ms INTEGER,
        hint_nbytes INTEGER, seconds INTEGER, state TEXT NOT NULL, document BLOB NOT NULL,
        UNIQUE (call_id, stem));
    CREATE TABLE files (
        seq INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, call_id INTEGER NOT NULL, campaign_id INTEGER NOT NULL);
    CREATE INDEX files_by_call ON files (call_id, seq);
    CREATE TABLE media (
        seq INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, name TEXT NOT NULL, stem TEXT NOT NULL,
        extension TEXT NOT NULL, created_ms INTEGER, hint_nbytes INTEGER, public_key TEXT, public_extension TEXT,
        document BLOB NOT NULL, UNIQUE (stem, extension));
    CREATE TABLE dynamic_files (
        seq INTEGER PRIMARY KEY, hash TEXT NOT NULL, year TEXT NOT NULL, month TEXT NOT NULL, campaign TEXT NOT NULL,
        filename TEXT NOT NULL, UNIQUE (hash, year, month, campaign, filename));
    CREATE TABLE facts (
        object_key TEXT PRIMARY KEY, source TEXT NOT NULL, nbytes INTEGER, validator TEXT, modified_ns INTEGER,
        version INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE listings (name TEXT PRIMARY KEY, refreshed_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE documents (key TEXT PRIMARY KEY, refreshed_ms INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE campaigns ADD COLUMN stem TEXT;
    CREATE UNIQUE INDEX campaigns_by_stem ON campaigns (stem);
    CREATE INDEX recordings_by_time ON recordings (created_ms);
    CREATE INDEX recordings_by_campaign ON recordings (campaign_id, coalesce(created_ms, -9223372036854775808));
    CREATE TABLE view_folders (
        seq INTEGER PRIMARY KEY, view TEXT NOT NULL, text TEXT NOT NULL, name TEXT NOT NULL,
        UNIQUE (view, text), UNIQUE (view, name));
    CREATE INDEX view_folders_in_order ON view_folders (view, seq);
    CREATE TABLE view_rows (
        folder INTEGER NOT NULL, recording INTEGER NOT NULL, PRIMARY KEY (folder, recording)) WITHOUT ROWID;
    CREATE INDEX view_rows_of_recording ON view_rows (recording);
    """,
    """
    CREATE TABLE absences (key TEXT PRIMARY KEY, first_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE recordings_left (seq INTEGER NOT NULL);
    INSERT INTO recordings_left (seq) VALUES (0);
    CREATE INDEX media_by_public_key ON media (public_key);
    CREATE INDEX calls_without_recordings ON calls (created_ms) WHERE recordings_known = 0;
    """,
    # A file name in the views holds a time and a number. Where the service corrects one of them later, the name keeps
    # what it was given: triggers, so that no statement can forget it. What was unknown may still become known.
    """
    CREATE TABLE kept_names (recording INTEGER PRIMARY KEY, created_ms INTEGER, number TEXT);
    CREATE TRIGGER recordings_keep_names BEFORE UPDATE OF created_ms ON recordings
    WHEN OLD.created_ms IS NOT NULL AND NEW.created_ms IS NOT OLD.created_ms
    BEGIN
        INSERT INTO kept_names (recording, created_ms, number)
        SELECT OLD.seq, OLD.created_ms,
            (SELECT nullif(iif(inbound, from_number, to_number), '') FROM calls WHERE id = OLD.call_id)
        WHERE NOT EXISTS (SELECT 1 FROM kept_names WHERE recording = OLD.seq);
    END;
    CREATE TRIGGER calls_keep_names BEFORE UPDATE OF from_number, to_number, inbound ON calls
    WHEN iif(OLD.inbound, OLD.from_number, OLD.to_number) <> ''
        AND iif(OLD.inbound, OLD.from_number, OLD.to_number) <> iif(NEW.inbound, NEW.from_number, NEW.to_number)
    BEGIN
        INSERT INTO kept_names (recording, created_ms, number)
        SELECT seq, created_ms, iif(OLD.inbound, OLD.from_number, OLD.to_number) FROM recordings
        WHERE call_id = OLD.id AND NOT EXISTS (SELECT 1 FROM kept_names WHERE recording = seq);
    END;
    """,
    # A campaign's folder shows ids alone: read from the index, not from rows with their documents (13 MB a look at
    # 10,000 calls).
    """
    DROP INDEX IF EXISTS calls_by_campaign;
    CREATE INDEX calls_by_campaign ON calls (campaign_id, seq, id);
    """,
    # Names for people, given once for each row (`catalog/display_names`); and when each row was first seen.
    """
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    DROP TRIGGER recordings_keep_names;
    DROP TRIGGER calls_keep_names;
    DROP TABLE kept_names;
    UPDATE campaigns SET stem = NULL;
    ALTER TABLE campaigns ADD COLUMN seen_ms INTEGER;
    ALTER TABLE calls ADD COLUMN listed TEXT;
    ALTER TABLE calls ADD COLUMN unsaid TEXT;
    ALTER TABLE calls ADD COLUMN month INTEGER;
    ALTER TABLE calls ADD COLUMN seen_ms INTEGER;
    ALTER TABLE recordings ADD COLUMN to_number TEXT NOT NULL DEFAULT '';
    ALTER TABLE recordings ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE recordings ADD COLUMN listed TEXT;
    ALTER TABLE recordings ADD COLUMN unsaid TEXT;
    ALTER TABLE recordings ADD COLUMN seen_ms INTEGER;
    ALTER TABLE files ADD COLUMN seen_ms INTEGER;
    ALTER TABLE media ADD COLUMN seen_ms INTEGER;
    ALTER TABLE dynamic_files ADD COLUMN seen_ms INTEGER;
    ALTER TABLE facts ADD COLUMN seen_ms INTEGER;
    ALTER TABLE documents ADD COLUMN seen_ms INTEGER;
    ALTER TABLE view_folders ADD COLUMN newest_ms INTEGER;
    DROP INDEX calls_by_campaign;
    CREATE INDEX calls_by_campaign ON calls (campaign_id, seq, id, listed, created_ms);
    CREATE INDEX calls_by_campaign_and_time ON calls (campaign_id, created_ms);
    CREATE INDEX calls_by_month ON calls (month, seq, id, listed, created_ms);
    CREATE INDEX calls_by_month_and_time ON calls (month, created_ms);
    CREATE INDEX recordings_in_campaign ON recordings (campaign_id, seq);
    CREATE INDEX files_in_campaign ON files (campaign_id, seq);
    CREATE INDEX calls_of_campaign_without_recordings ON calls (campaign_id, created_ms) WHERE recordings_known = 0;
    CREATE INDEX facts_of_changed ON facts (object_key, version) WHERE version > 0;
    CREATE INDEX media_by_time ON media (coalesce(created_ms, seen_ms));

    -- How many bytes are known of, for statfs, which may cost nothing: what listings say of recordings and media, and
    -- what was learned of files that no listing sizes. Triggers, so that no statement can forget it.
    CREATE TABLE totals (nbytes INTEGER NOT NULL);
    INSERT INTO totals SELECT (SELECT coalesce(sum(hint_nbytes), 0) FROM recordings)
        + (SELECT coalesce(sum(hint_nbytes), 0) FROM media)
        + (SELECT coalesce(sum(nbytes), 0) FROM facts
            WHERE object_key GLOB 'recording/*.wav' OR object_key GLOB 'dynamic/*');
    CREATE TRIGGER recordings_come AFTER INSERT ON recordings WHEN NEW.hint_nbytes NOT NULL
    BEGIN UPDATE totals SET nbytes = nbytes + NEW.hint_nbytes; END;
    CREATE TRIGGER recordings_change AFTER UPDATE OF hint_nbytes ON recordings
    WHEN NEW.hint_nbytes IS NOT OLD.hint_nbytes
    BEGIN UPDATE totals SET nbytes = nbytes + coalesce(NEW.hint_nbytes, 0) - coalesce(OLD.hint_nbytes, 0); END;
    CREATE TRIGGER recordings_leave AFTER DELETE ON recordings WHEN OLD.hint_nbytes NOT NULL
    BEGIN UPDATE totals SET nbytes = nbytes - OLD.hint_nbytes; END;
    CREATE TRIGGER media_come AFTER INSERT ON media WHEN NEW.hint_nbytes NOT NULL
    BEGIN UPDATE totals SET nbytes = nbytes + NEW.hint_nbytes; END;
    CREATE TRIGGER media_change AFTER UPDATE OF hint_nbytes ON media WHEN NEW.hint_nbytes IS NOT OLD.hint_nbytes
    BEGIN UPDATE totals SET nbytes = nbytes + coalesce(NEW.hint_nbytes, 0) - coalesce(OLD.hint_nbytes, 0); END;
    CREATE TRIGGER media_leave AFTER DELETE ON media WHEN OLD.hint_nbytes NOT NULL
    BEGIN UPDATE totals SET nbytes = nbytes - OLD.hint_nbytes; END;
    CREATE TRIGGER sizes_come AFTER INSERT ON facts
    WHEN NEW.nbytes NOT NULL AND (NEW.object_key GLOB 'recording/*.wav' OR NEW.object_key GLOB 'dynamic/*')
    BEGIN UPDATE totals SET nbytes = nbytes + NEW.nbytes; END;
    CREATE TRIGGER sizes_change AFTER UPDATE OF nbytes ON facts
    WHEN NEW.nbytes IS NOT OLD.nbytes AND (NEW.object_key GLOB 'recording/*.wav' OR NEW.object_key GLOB 'dynamic/*')
    BEGIN UPDATE totals SET nbytes = nbytes + coalesce(NEW.nbytes, 0) - coalesce(OLD.nbytes, 0); END;
    CREATE TRIGGER sizes_leave AFTER DELETE ON facts
    WHEN OLD.nbytes NOT NULL AND (OLD.object_key GLOB 'recording/*.wav' OR OLD.object_key GLOB 'dynamic/*')
    BEGIN UPDATE totals SET nbytes = nbytes - OLD.nbytes; END;
    """,
    # Looked for whenever a view is opened, so that what is known by its id alone is asked once.
    """
    CREATE INDEX calls_untold ON calls (seq, id) WHERE document IS NULL;
    """,
)
#: What a version's tables must hold of the rows that were there before; part of the migration's transaction.
_FILLS: Mapping[int, Callable[[sqlite3.Connection], None]] = {6: name_migration.fill}

_FIRST_WITH_SETTINGS = 6

#: A write that finds the file locked (a second mount of the account, a backup) waits this long before it fails.
BUSY_TIMEOUT_SECONDS = 5.0


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode with the pragmas of this catalogue; usable from any one thread at a time.

    The caller closes it. Raises sqlite3.Error, after which nothing is left open.
    """
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A lost tail costs a request, never a wrong answer: fsync at checkpoints is enough
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException as problem:
        connection.close()
        if isinstance(problem, UnicodeDecodeError):  # SQLite's message quotes the statement that it cannot read
            raise sqlite3.DatabaseError("malformed statements in the schema") from problem
        raise
    return connection


def prepare(path: Path, *, timezone: str = display_names.UTC) -> None:
    """Make `path` a catalogue of the newest schema, mode 0600, keeping its rows. Where it has none yet, `timezone` is
    from now on the zone that its names tell times in.

    A file that is no catalogue, is damaged, or is of a newer cffs is set aside as `NAME.set-aside` with one log line,
    and an empty one takes its place: everything in it can be asked again. Raises OSError where the folder refuses, the
    disk is full, or another program holds the file: then nothing is set aside.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    try:
        _migrate(path, timezone)
    except (sqlite3.DatabaseError, ForeignFile) as problem:
        # here, where the tables themselves are in question, a statement of ours that cannot be run is damage too
        is_statement = getattr(problem, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR
        if not (isinstance(problem, ForeignFile) or is_statement or is_damage(problem)):
            raise OSError(errno.EIO, f"the catalogue cannot be used: {problem}", str(path)) from problem
        set_aside(path, problem)
        prepare(path, timezone=timezone)


def set_aside(path: Path, problem: Exception) -> None:
    """Move the file out of the way, with one log line. No connection may be open. Raises OSError."""
    aside = path.with_name(path.name + ".set-aside")
    log.warning("catalogue set aside file=%s reason=%s; it is rebuilt from the service", aside, problem)
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    mark_of(path).unlink(missing_ok=True)


class ForeignFile(Exception):
    """The file is a database, but not one that this version of cffs can use."""


def _no_fill(_connection: sqlite3.Connection) -> None:
    """The tables are new and empty, or hold what they held."""


def _migrate(path: Path, timezone: str) -> None:
    with closing(connect(path)) as connection:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and application_id != APPLICATION_ID:
            raise ForeignFile("another program's database")
        if version > len(MIGRATIONS):
            raise ForeignFile(f"schema {version} of a newer cffs")
        if mark_of(path).exists() or not (is_large(path) or is_sound(connection)):
            raise ForeignFile("damaged")
        if _statements(connection) != _statements_of_version(version):
            raise ForeignFile("its tables are not those of its version")
        for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE; {migration} PRAGMA application_id = {APPLICATION_ID};"
                f" PRAGMA user_version = {number};"
            )
            if number == _FIRST_WITH_SETTINGS:
                connection.execute("INSERT INTO settings VALUES (?, ?)", (display_names.TIMEZONE, timezone))
                connection.execute("INSERT INTO settings VALUES (?, unixepoch() * 1000)", (display_names.FIRST_SEEN,))
            _FILLS.get(number, _no_fill)(connection)
            connection.execute("COMMIT")


@cache
def _statements_of_version(version: int) -> frozenset[tuple[str, ...]]:
    """What `_statements` finds in a whole file of that version. (SQLite's own check reads no statement: a flipped
    letter in the name of a column passes it.)"""
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in MIGRATIONS[: max(0, version)]:
            connection.executescript(migration)
        return _statements(connection)


def _statements(connection: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    """Kind, name, table and statement of every table, index and trigger of ours, with blanks run together."""
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'")
    return frozenset(tuple(" ".join(str(text).split()) for text in row) for row in found)
