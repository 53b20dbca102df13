"""The catalogue: rows of one account, read inline on the event loop.

It owns the read side of every table, and the caches over it. It must not know requests, paths or the kernel.
"""

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import trio

from cffs.catalog import display_names, rows, schema
from cffs.catalog.call_cache import Beside, CallCache
from cffs.catalog.database import InThread
from cffs.catalog.facts import Facts, wall_clock_ms
from cffs.catalog.integrity import UNREADABLE, damaged, is_damage, is_large, look_over
from cffs.catalog.rows import (
    CallRow,
    CampaignRow,
    DocumentRow,
    DynamicRow,
    FileRow,
    ListedCall,
    MediaRow,
    RecordingRow,
)
from cffs.catalog.views import PAGE_ROWS as VIEW_PAGE_ROWS
from cffs.catalog.views import Views
from cffs.core.listed_names import LAST_DATED_MS
from cffs.core.v2_parsers import parse_document, stated_emptiness
from cffs.core.values import Emptiness

#: Rows that one read may return: at about 2 us a row, the loop is held for a few milliseconds at most.
PAGE_ROWS = 1000
#: Keys of objects that v2 describes.
_DESCRIBED = re.compile(r"(recording|media)/([0-9]+)[./]")

Found = TypeVar("Found")


class Catalog(Facts):
    """Rows and facts of one account. Open with `opened`. No read is a checkpoint, but for `ask_in_thread`."""

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, path: Path, *, timezone: str = display_names.UTC, wall_ms: Callable[[], int] = wall_clock_ms
    ) -> AsyncIterator["Catalog"]:
        """Open the catalogue in `path`; it is closed at the end, with every learned fact written. Raises OSError.

        In a new catalogue, the times in names are those of the zone `timezone`; in any other, of the zone of its first
        mount.
        """
        catalog = await trio.to_thread.run_sync(lambda: cls._made(path, timezone=timezone, wall_ms=wall_ms))
        try:
            yield catalog
        finally:
            with trio.CancelScope(shield=True):
                await catalog.flush_facts()
                await catalog.aclose()

    @classmethod
    def _made(cls, path: Path, *, timezone: str, wall_ms: Callable[[], int]) -> "Catalog":
        try:
            return cls(path, timezone=timezone, wall_ms=wall_ms)
        except UNREADABLE as problem:
            if not is_damage(problem):
                raise
            schema.set_aside(path, problem)
            return cls(path, timezone=timezone, wall_ms=wall_ms)

    async def ask_in_thread(
        self, question: Callable[[Views], Found], *, page_rows: int = VIEW_PAGE_ROWS, is_lean: bool = False
    ) -> Found:
        """Return what `question` returns of the views. It runs in a thread, since it may look at every row.

        `is_lean` leaves the rows' documents out. Always a checkpoint. Cancelled, its statement is interrupted. Raises
        sqlite3.Error.
        """
        if self._has_moved:  # no folder shows the copy in memory
            await trio.lowlevel.checkpoint()
            return question(Views(self._reading, page_rows=page_rows, is_lean=is_lean, path=self._path))
        return await self._in_thread.ask(question, page_rows=page_rows, is_lean=is_lean)

    @property
    def state(self) -> object:
        """A value that changes whenever anything is written."""
        return self._reading.execute("PRAGMA data_version").fetchone()[0]

    def __init__(
        self, path: Path, *, timezone: str = display_names.UTC, wall_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        super().__init__(path, timezone=timezone, wall_ms=wall_ms)
        #: The zone of the times in names, and of the beginnings of days and months.
        with self._closed_where_it_fails():
            self.zone = display_names.zone_of(self._reading)
            seen = self._reading.execute(rows.SETTING, (display_names.FIRST_SEEN,)).fetchone()
            if seen is None:
                raise ValueError("a setting is missing")
            #: When the account was first mounted here.
            self.first_seen_ms = int(seen[0])
        self._in_thread = InThread(path)
        self._call_folders = CallCache()
        self._counts: dict[str, int] = {}

    async def write(self, batch: Callable[[sqlite3.Connection], None]) -> None:
        """Write as the database does, and drop what was read before."""
        try:
            await super().write(batch)
        finally:
            self._call_folders.clear()
            self._counts.clear()

    async def tend_forever(self) -> None:
        """Check the integrity of a large file once, and write learned facts as they come; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.write_facts_forever)
            if is_large(self._path):
                with suppress(OSError, sqlite3.OperationalError):  # the disk's trouble: checked at the next mount
                    await look_over(self._path)

    @property
    def views(self) -> Views:
        """The rows by date, number, label and name."""
        return Views(self._reading, path=self._path)

    def campaign(self, campaign_id: int) -> CampaignRow | None:
        """The campaign of that id, where known."""
        return self._one(_campaign, rows.CAMPAIGN_BY_ID, campaign_id)

    def campaigns(self, *, after_seq: int) -> list[CampaignRow]:
        """The next `PAGE_ROWS` campaigns past `after_seq`."""
        return self._all(_campaign, rows.CAMPAIGNS_AFTER, after_seq, PAGE_ROWS)

    def listed_campaigns(self, *, after_seq: int) -> list[tuple[CampaignRow, int | None]]:
        """The next `PAGE_ROWS` campaigns past `after_seq`, each with when the newest of it was made, as far as that is
        known."""
        found = self._reading.execute(rows.LISTED_CAMPAIGNS_AFTER, (LAST_DATED_MS, after_seq, PAGE_ROWS))
        return [(_campaign(*row), newest_ms) for newest_ms, *row in found]

    def call(self, call_id: int) -> CallRow | None:
        """The call of that id, where known."""
        return self._one(rows.call_row, rows.CALL_BY_ID, call_id)

    def call_folder(
        self, call_id: int, *, beside: Beside = Beside.CAMPAIGN
    ) -> tuple[CallRow | None, list[RecordingRow]]:
        """A call with its known recordings, read together with the next of those that it is listed beside."""
        found = self._call_folders.get(call_id)
        if found is not None:
            return found.call, found.recordings
        try:
            recordings = self._call_folders.read(self._reading, call_id, beside)
        except UNREADABLE as problem:
            if not is_damage(problem):
                raise
            raise damaged(self._path, problem) from problem
        self.read_facts(f"recording/{recording.id}.mp3" for recording in recordings)
        found = self._call_folders.get(call_id)
        if found is None:
            return self.call(call_id), self.recordings_of_call(call_id)
        return found.call, found.recordings

    def campaign_in(self, folder: str) -> CampaignRow | None:
        """The campaign that is listed under that name."""
        return self._one(_campaign, rows.CAMPAIGN_BY_FOLDER, folder)

    def calls(self, *, campaign_id: int, after_seq: int) -> list[ListedCall]:
        """The next `PAGE_ROWS` calls of a campaign (0: of none) past `after_seq`."""
        return self._all(ListedCall, rows.CALLS_OF_CAMPAIGN_AFTER, campaign_id, after_seq, PAGE_ROWS)

    def all_calls(self, *, after_seq: int) -> list[ListedCall]:
        """The next `PAGE_ROWS` calls of all past `after_seq`."""
        return self._all(ListedCall, rows.CALLS_AFTER, after_seq, PAGE_ROWS)

    def months(self) -> list[int | None]:
        """The months in the names of calls, oldest first; None after them where there is a call without."""
        found: list[int | None] = [month for (month,) in self._reading.execute(rows.MONTHS)]
        return [*found, None] if self._reading.execute(rows.UNDATED_CALL).fetchone() else found

    def calls_of_month(self, month: int | None, *, after_seq: int) -> list[ListedCall]:
        """The next `PAGE_ROWS` calls of a month past `after_seq`."""
        return self._all(ListedCall, rows.CALLS_OF_MONTH_AFTER, month, after_seq, PAGE_ROWS)

    def newest_call_ms(self, *, campaign_id: int) -> int | None:
        """When the last call of a campaign was made."""
        found = self._reading.execute(rows.NEWEST_CALL_OF_CAMPAIGN, (campaign_id, LAST_DATED_MS)).fetchone()
        return None if found[0] is None else int(found[0])

    def newest_call_ms_of_month(self, month: int | None) -> int | None:
        """When the last call of a month was made."""
        found = self._reading.execute(rows.NEWEST_CALL_OF_MONTH, (month, LAST_DATED_MS)).fetchone()
        return None if found[0] is None else int(found[0])

    def calls_without_recordings(self, *, limit: int, campaign_id: int | None = None) -> list[int]:
        """The newest calls, of a campaign or of all, that v2 has described without their recordings."""
        if campaign_id is None:
            found = self._reading.execute(rows.CALLS_WITHOUT_RECORDINGS, (limit,))
        else:
            found = self._reading.execute(rows.CALLS_OF_CAMPAIGN_WITHOUT_RECORDINGS, (campaign_id, limit))
        return [ident for (ident,) in found]

    def undescribed_calls(self, *, limit: int) -> list[int]:
        """The calls of which only the ids are known, newest first by when they became known."""
        return [ident for (ident,) in self._reading.execute(rows.UNDESCRIBED_CALLS, (limit,))]

    def undescribed_recordings(self, *, limit: int) -> list[int]:
        """The recordings of which only the ids are known, newest first by when they became known."""
        return [ident for (ident,) in self._reading.execute(rows.UNDESCRIBED_RECORDINGS, (limit,))]

    def recording(self, recording_id: int) -> RecordingRow | None:
        """The recording of that id, where v2 has named it or it was imported."""
        return self._one(rows.recording_row, rows.RECORDING_BY_ID, recording_id)

    def recording_by_stem(self, call_id: int, stem: str) -> RecordingRow | None:
        """The recording that carries the file name `stem` in its call's folder."""
        return self._one(rows.recording_row, rows.RECORDING_BY_STEM, call_id, stem)

    def recordings_of_call(self, call_id: int) -> list[RecordingRow]:
        """The known recordings of a call, in the order in which they became known."""
        return self._all(rows.recording_row, rows.RECORDINGS_OF_CALL, call_id)

    def recordings(self, *, after_seq: int) -> list[RecordingRow]:
        """The next `PAGE_ROWS` recordings past `after_seq`."""
        return self._all(rows.recording_row, rows.RECORDINGS_AFTER, after_seq, PAGE_ROWS)

    def file(self, file_id: int) -> FileRow | None:
        """The file of that id, where v1 has listed it or it was imported."""
        return self._one(FileRow, rows.FILE_BY_ID, file_id)

    def listed_file(self, file_id: int) -> FileRow | None:
        """The file of that id, where v1's list of a call has it: of an imported file only the id is known."""
        row = self.file(file_id)
        return row if row is not None and row.call_id else None

    def files_of_call(self, call_id: int) -> list[FileRow]:
        """The files that v1 listed for a call."""
        return self._all(FileRow, rows.FILES_OF_CALL, call_id)

    def files(self, *, after_seq: int) -> list[FileRow]:
        """The next `PAGE_ROWS` files past `after_seq`."""
        return self._all(FileRow, rows.FILES_AFTER, after_seq, PAGE_ROWS)

    def files_of_campaign(self, campaign_id: int, *, after_seq: int) -> list[FileRow]:
        """The next `PAGE_ROWS` files of a campaign without a recording of v2 of the same id."""
        return self._all(FileRow, rows.FILES_OF_CAMPAIGN_AFTER, campaign_id, after_seq, PAGE_ROWS)

    def media_file(self, media_id: int) -> MediaRow | None:
        """The media file of that id, where known."""
        return self._one(_media, rows.MEDIA_BY_ID, media_id)

    def emptiness(self, object_key: str) -> Emptiness:
        """What v2 has said of the object having no bytes at all: of a recording in whatever form, or of a media
        file."""
        found = _DESCRIBED.match(object_key)
        row = None
        if found is not None:
            row = self.recording(int(found[2])) if found[1] == "recording" else self.media_file(int(found[2]))
        if row is None:
            return Emptiness.UNSTATED
        return stated_emptiness(parse_document(row.document, what=object_key))

    def media_by_stem(self, stem: str, extension: str) -> MediaRow | None:
        """The media file listed as `stem.extension` under by-name/."""
        return self._one(_media, rows.MEDIA_BY_STEM, stem, extension)

    def media_by_public_key(self, key: str) -> MediaRow | None:
        """The account's own media file whose public URL carries `key`."""
        return self._one(_media, rows.MEDIA_BY_PUBLIC_KEY, key)

    def media(self, *, after_seq: int) -> list[MediaRow]:
        """The next `PAGE_ROWS` media files past `after_seq`."""
        return self._all(_media, rows.MEDIA_AFTER, after_seq, PAGE_ROWS)

    def dynamic_file(self, location: tuple[str, str, str, str], filename: str) -> DynamicRow | None:
        """The dynamic recording of exactly that spelling, where known."""
        return self._one(DynamicRow, rows.DYNAMIC_BY_NAME, *location, filename)

    def dynamic_files(self, location: tuple[str, str, str, str]) -> list[DynamicRow]:
        """The known dynamic recordings of one folder."""
        return self._all(DynamicRow, rows.DYNAMIC_IN_FOLDER, *location)

    def dynamic_folders(self, parents: tuple[str, ...]) -> list[tuple[int, str]]:
        """The known folders below (hash, year, month) or fewer: (sequence number, name)."""
        return self._reading.execute(rows.DYNAMIC_FOLDERS[len(parents)], parents).fetchall()

    def listed_ms(self, name: str) -> int | None:
        """When the listing `name` was last taken whole (wall clock, ms), or None."""
        found = self._reading.execute(rows.LISTING, (name,)).fetchone()
        return None if found is None else int(found[0])

    def document(self, key: str) -> DocumentRow | None:
        """The last answer kept under `key`, or None."""
        return self._one(DocumentRow, rows.DOCUMENT, key)

    def newest_media_ms(self) -> int | None:
        """When the last media file was made."""
        found = self._reading.execute(rows.NEWEST_MEDIA).fetchone()
        return None if found[0] is None else int(found[0])

    def newest_dynamic_ms(self, parents: tuple[str, ...]) -> int | None:
        """When the last of the known dynamic recordings below (hash, year, month, campaign) or fewer was first seen."""
        found = self._reading.execute(rows.NEWEST_DYNAMIC[len(parents)], parents).fetchone()
        return None if found[0] is None else int(found[0])

    def known_nbytes(self) -> int:
        """How many bytes all files have whose size is known, from a listing or learned."""
        return self._one(int, rows.KNOWN_NBYTES) or 0

    def known_files(self) -> int:
        """About how many files there are."""
        return self._one(int, rows.KNOWN_FILES) or 0

    def counts(self) -> dict[str, int]:
        """How many campaigns, calls, recordings and media are known; counted on the loop, once after a write
        (0.1 s for a million)."""
        if not self._counts:
            found = self._reading.execute(rows.COUNTS).fetchone()
            self._counts = dict(zip(("campaigns", "calls", "recordings", "media"), found, strict=True))
        return dict(self._counts)


def _campaign(seq: int, ident: int, name: str, *rest: Any) -> CampaignRow:
    return CampaignRow(seq, ident, json.loads(name), *rest)


def _media(seq: int, ident: int, name: str, *rest: Any) -> MediaRow:
    return MediaRow(seq, ident, json.loads(name), *rest)
