"""playlist.m3u8 in every folder of audio: its recordings as relative paths.

It owns the format, and the rendering page by page. It must not know how folders find their files: it uses the functions
that list them. A playlist costs no request, and is rendered when its size or its bytes are asked for.

A line is a name as it stands: mpv, mplayer and mpg123 open a line as a path and decode nothing (of 18 odd names that
were percent-encoded they played 2). VLC alone decodes `%`, `#` and `?`, whatever a line looks like.
"""

import re
import sqlite3
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

import trio

from cffs.catalog.views import UNDATED_MS, ViewRow, Views
from cffs.core.listed_names import USUAL_NAMES
from cffs.core.names import encode_name
from cffs.core.one_line import printable_line
from cffs.tree import campaigns, dates, dynamic, recordings, search, views
from cffs.tree.contents import Content, Document, Entry
from cffs.tree.context import Context
from cffs.tree.folder_times import modified_ms
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import (
    AboutFolderNode,
    CampaignNode,
    DynamicFileNode,
    Kind,
    Mp3Node,
    Node,
    SearchNode,
    ViewFolderNode,
    WavNode,
    about,
)
from cffs.tree.recordings import shown_forms
from cffs.tree.render_cache import Step
from cffs.tree.size_hints import Form
from cffs.tree.view_entries import other_number, stamp_of

NAME = "playlist.m3u8"
_HEAD = b"#EXTM3U\n"
#: Rows read at a time in a thread (10 ms; opening the catalogue there costs two), and lines made at a time on the loop
#: (1 ms).
_PAGE_ROWS = 2000
_AT_ONCE = 200
#: Enough for a hundred thousand lines; a longer playlist is continued when it is asked for again.
_AHEAD_SECONDS = 1.0
#: Players take such a beginning for a comment, cut off the blank, or (VLC) take the colon for that of a URL.
_MISTAKEN = re.compile(r"[#\s]|[^/]*:")
#: (position after the last row: its time and sequence number, views) -> the next rows.
Find = Callable[[tuple[int, int], Views], list[ViewRow]]
_AUDIO = (Mp3Node, WavNode, DynamicFileNode)
#: The folder's own listing says what it plays.
AUDIO_ENTRIES: dict[Kind, Callable[[Context, Any, int], list[Entry]]] = {
    Kind.CAMPAIGN: campaigns.audio_entries,
    Kind.CALL: recordings.call_entries,
    Kind.LONE_CALL: recordings.call_entries,
    Kind.RECORDINGS: recordings.recordings_entries,
    Kind.DAY: dates.files,
    Kind.ONE_NUMBER: views.files,
    Kind.ONE_LABEL: views.files,
    Kind.SEARCH: search.files,
    Kind.DYNAMIC_CAMPAIGN: dynamic.file_entries,
}
#: Folders that list, after their recordings, files that only v1 has listed.
_WITH_FILES_BEHIND = frozenset({Kind.CAMPAIGN, Kind.RECORDINGS})


def resolve(_context: Context, parent: Node, _parts: Parts) -> Node:
    """Every folder of audio has a playlist."""
    return about(parent, Kind.PLAYLIST)


def content(context: Context, node: AboutFolderNode) -> Content:
    """Rendered when its bytes are asked for, or its size where that is not known from before."""
    folder = node.folder
    state = state_of(context, folder)

    async def load() -> bytes:
        if isinstance(folder, SearchNode):
            await search.prepare(context, folder)
        _make_again_when_whole(context, folder)
        return await context.render_cache.render(folder, _step_of(context, folder), state=state)

    nbytes = context.render_cache.nbytes(folder, state=state)
    # volatile: each new recording changes it, and stat should report its size of now
    return Document(body=None, load=load, nbytes=nbytes, modified_ms=modified_ms(context, folder), volatile=True)


def _make_again_when_whole(context: Context, folder: Node) -> None:
    """Render a campaign's playlist again in the background once its calls are all listed, as far as that takes a
    second: a program that asks for it while they are being listed, as the first `ls -l` does for its size, will ask
    again."""
    if not isinstance(folder, CampaignNode):
        return
    listings, campaign_id = context.listings, folder.campaign_id
    listing = listings.running("recordings", campaign_id) or listings.running("calls", campaign_id)
    if listing is None:
        return

    async def make() -> None:
        if not listings.was_listed("calls", campaign_id):
            return  # a listing that was left for that of the campaign alone
        state = state_of(context, folder)
        with trio.move_on_after(_AHEAD_SECONDS), suppress(sqlite3.Error):
            await context.render_cache.render(folder, _step_of(context, folder), state=state)

    listing.follow(folder, make)


def state_of(context: Context, folder: Node) -> Hashable:
    """A value that changes whenever what is rendered of the folder may change."""
    notes = 0 if context.notes is None else context.notes.turn
    selection = search.key_of(context, folder) if isinstance(folder, SearchNode) else None
    return context.catalog.state, shown_forms(context), recordings.wavs_are_sure(context), notes, selection


def _step_of(context: Context, folder: Node) -> Step:
    """How the folder is rendered page by page. A folder of a million rows is read in a thread, and holds up no other
    task."""
    is_selection = isinstance(folder, SearchNode) and search.is_selection(context, folder)
    find = None if is_selection else _FOUND.get(folder.kind)

    async def of_rows(at: Any) -> tuple[bytes, Any] | None:
        if at is None:
            return _HEAD, (UNDATED_MS, 0)
        if at[1] is None or find is None:  # behind the rows: what has none
            return await of_listing(at[0])
        question = partial(find(context, folder), at)
        rows = await context.catalog.ask_in_thread(question, page_rows=_PAGE_ROWS, is_lean=True)
        if not rows:
            return (b"", (recordings.FILES_OFFSET, None)) if folder.kind in _WITH_FILES_BEHIND else None
        pieces = []
        for start in range(0, len(rows), _AT_ONCE):
            pieces.append(_lines(context, folder, rows[start : start + _AT_ONCE]))
            await trio.lowlevel.checkpoint()
        last = rows[-1].recording
        return "".join(pieces).encode(), (UNDATED_MS if last.created_ms is None else last.created_ms, last.seq)

    async def of_listing(at: Any) -> tuple[bytes, Any] | None:
        await trio.lowlevel.checkpoint()
        after = at[0] if isinstance(at, tuple) else at
        if after is None:
            return _HEAD, 0
        entries = AUDIO_ENTRIES[folder.kind](context, folder, after)
        if not entries:
            return None
        behind = entries[-1].offset
        return _listed(context, entries).encode(), (behind, None) if find is not None else behind

    return of_listing if find is None else of_rows


def _of_campaign(_context: Context, folder: CampaignNode) -> Find:
    """Newest last."""
    campaign_id = folder.campaign_id
    return lambda at, views: views.of_campaign(campaign_id, from_ms=at[0], after_seq=at[1])


def _of_folder(_context: Context, folder: ViewFolderNode) -> Find:
    """In the order in which they became known."""
    seq = folder.seq
    return lambda at, views: views.of_folder(seq, after_seq=at[1])


def _of_search(context: Context, folder: SearchNode) -> Find:
    find = search.matching(context, folder)
    return lambda at, views: find(at[1], views)


def _of_all(_context: Context, _folder: Node) -> Find:
    return lambda at, views: views.matching([], folders=[], after_seq=at[1])


_FOUND: dict[Kind, Callable[[Context, Any], Find]] = {
    Kind.CAMPAIGN: _of_campaign,
    Kind.ONE_NUMBER: _of_folder,
    Kind.ONE_LABEL: _of_folder,
    Kind.SEARCH: _of_search,
    Kind.RECORDINGS: _of_all,
}


def _lines(context: Context, folder: Node, rows: list[ViewRow]) -> str:
    """The items of rows, under the names that their folder shows; none for a row without audio in the folder."""
    shown, is_sure = shown_forms(context), recordings.wavs_are_sure(context)
    are_ids = context.settings.lists_ids or folder.kind is Kind.RECORDINGS
    lies_in_calls = context.settings.lists_ids and folder.kind is Kind.CAMPAIGN
    items = []
    for row in rows:
        recording = row.recording
        if Form.MP3 in shown:
            form = Form.MP3
        elif lies_in_calls or row.file_seq is not None or is_sure:
            form = Form.WAV
        else:
            continue
        if not lies_in_calls:
            items.append(_item(context, row, f"{recording.id if are_ids else recording.listed}.{form}"))
        elif recording.call_id:
            items.append(_item(context, row, f"{recording.call_id}/{recording.stem}.{form}"))
    return "".join(items)


def _listed(context: Context, entries: list[Entry]) -> str:
    """What a folder lists, in its order, one form of each."""
    both = len(shown_forms(context)) > 1 and context.account.v2 is not None
    lines = []
    for entry in entries:
        node = entry.node
        if not isinstance(node, _AUDIO) or (both and isinstance(node, WavNode) and _has_mp3(context, node)):
            continue
        row = None
        if not isinstance(node, DynamicFileNode):
            recording_id = node.file_id if isinstance(node, WavNode) else node.recording_id
            row = context.catalog.views.recording(recording_id)
        lines.append(_item(context, row, entry.name))
    return "".join(lines)


def _has_mp3(context: Context, node: WavNode) -> bool:
    return context.catalog.recording(node.file_id) is not None


def _item(context: Context, row: ViewRow | None, path: str) -> str:
    line = f"./{path}" if _MISTAKEN.match(path) else path
    if row is None:
        return f"#EXTINF:-1,{printable_line(path)}\n{line}\n"
    seconds = -1 if row.recording.seconds is None else row.recording.seconds
    title = _title(other_number(row), row.recording.name)
    return f"#EXTINF:{seconds},{stamp_of(context, row)} {title}\n{line}\n"


@lru_cache(4096)
def _title(number: str, name: str) -> str:
    """Cached, because it is the same for most recordings of a caller and expensive to make."""
    return printable_line(number if name in USUAL_NAMES else f"{number} {encode_name(name)}")
